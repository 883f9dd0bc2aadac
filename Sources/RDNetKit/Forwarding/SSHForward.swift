/// What forwards by `ssh` have in common.
struct SSHSurroundings {
    let loop: EventLoop
    let log: Logger
    let program: SSHProgram
    let counters: ForwardCounters
}

/// A unix socket on the host whose clients are connected to a guest's unix socket by the system's
/// `ssh`.
///
/// How it works: one `ssh` carries all clients, each in a channel of its own; it is started at
/// once, and again whenever it has ended. Each client is relayed to the socket at which `ssh`
/// listens. As long as that is not there, clients wait in the queue of ours, in the kernel; so do
/// those that come when there are too many. A client that has just been taken when `ssh` ends is
/// kept, too.
final class SSHForward: OpenForward {
    static let maximumClients = 256
    /// After so many failures in a row the guest is asked less often.
    static let quickTries = 60
    static let slowInterval: Duration = .seconds(10)
    /// Different causes that are said at level warning as long as it is down.
    private static let maximumCauses = 8
    /// Between two tries to connect a client.
    private static let retry: Duration = .milliseconds(100)
    /// Between two warnings about what `ssh` says while all is well.
    private static let quiet: Duration = .seconds(10)

    private let target: SSHTarget
    private let name: String
    private let surroundings: SSHSurroundings
    private weak var connector: (any GuestConnector)?
    private let relays: RelayConnector
    private var listener: StreamListener?
    private var session: SSHSession?
    private var backoff = Backoff(first: .milliseconds(100), maximum: .seconds(1))
    private var restart: TimerWheel.Token?
    /// Why `ssh` has ended since it was up.
    private var causes: Set<String> = []
    private var quietUntil: Instant?
    /// A client that `ssh` has not taken.
    private var waiting: OwnedDescriptor?
    private var retrying: TimerWheel.Token?

    /// Starts to listen, and to connect.
    ///
    /// - Parameters:
    ///   - socket: Listens already.
    ///   - path: Its file.
    ///   - target: Where clients are connected to.
    ///   - connector: Leads to guests; not kept alive.
    ///   - surroundings: What other such forwards have, too.
    /// - Throws: `SystemError` when the loop cannot watch the socket.
    init(
        _ socket: consuming OwnedDescriptor,
        path: String,
        to target: SSHTarget,
        connector: any GuestConnector,
        _ surroundings: SSHSurroundings
    ) throws(SystemError) {
        self.target = target
        self.connector = connector
        self.surroundings = surroundings
        name = path
        relays = RelayConnector(
            loop: surroundings.loop,
            log: surroundings.log,
            counters: surroundings.counters,
            descriptors: 2 * Self.maximumClients,
            replyOctets: 0
        )
        do throws(SystemError) {
            listener = try StreamListener(
                socket,
                path: path,
                loop: surroundings.loop,
                admitting: { [unowned self] in hasRoom },
                taking: { [unowned self] stream, _ in
                    surroundings.counters.connections += 1
                    join(stream)
                }
            )
        } catch {
            relays.close()
            throw error
        }
        connect()
    }

    /// None: it is a unix socket.
    var endpoint: Endpoint? { nil }

    /// Stops listening, ends `ssh`, and with it its clients' connections.
    func close() {
        listener?.close()
        listener = nil
        for timer in [restart, retrying].compactMap({ $0 }) { surroundings.loop.cancel(timer) }
        waiting = nil
        session?.stop()
        session = nil
        relays.close()
    }

    // MARK: Clients

    private var hasRoom: Bool {
        let isFree =
            switch waiting {
            case .some: false
            case .none: true
            }
        return isFree && session?.isReady == true && relays.hasRoom
    }

    private func join(_ stream: consuming OwnedDescriptor) {
        let upstream: OwnedDescriptor
        do throws(SystemError) {
            guard let session else { throw SystemError.invalid("connect") }
            upstream = try session.connect()
        } catch {
            return keep(stream)
        }
        do throws(SystemError) {
            try relays.join(stream, upstream)
        } catch {
            relays.failed("\(error)")
        }
    }

    private func keep(_ stream: consuming OwnedDescriptor) {
        waiting = .some(stream)
        retrying = surroundings.loop.after(Self.retry) { [unowned self] _ in
            retrying = nil
            if let stream = waiting.take() { join(stream) }
        }
    }

    // MARK: ssh

    private func connect() {
        restart = nil
        guard let connector else { return }
        let events = SSHSession.Events(
            ready: { [unowned self] now in ready(now) },
            said: { [unowned self] line in said(line) },
            ended: { [unowned self] cause, now in failed(cause, now) }
        )
        let loop = surroundings.loop
        let session = SSHSession(target, surroundings.program, loop: loop, events: events)
        self.session = session
        do {
            try session.start(over: connector)
        } catch {
            failed(error.description, loop.now)
        }
    }

    private func ready(_ now: Instant) {
        backoff.succeeded(now: now)
        causes = []
        surroundings.log.info("ssh forward established", ["socket": name, "guest": "\(target)"])
    }

    private func said(_ line: String) {
        let now = surroundings.loop.now
        let isQuiet = quietUntil.map { now < $0 } ?? false
        if !isQuiet { quietUntil = now + Self.quiet }
        surroundings.log.log(isQuiet ? .debug : .warning, "ssh: \(line)", ["socket": name])
    }

    private func failed(_ cause: String, _ now: Instant) {
        session = nil
        let delay = backoff.failed(now: now)
        let isSlow = backoff.failures >= Self.quickTries
        // The same refusal may have more than one wording, which take turns.
        let isNew = causes.count < Self.maximumCauses && causes.insert(cause).inserted
        let isNews = isNew || backoff.failures == Self.quickTries
        surroundings.log.log(
            isNews ? .warning : .debug,
            "ssh forward is down; retrying",
            [
                "socket": name, "guest": "\(target)", "key": target.identity, "cause": cause,
                "failures": "\(backoff.failures)",
            ]
        )
        restart = surroundings.loop.after(isSlow ? Self.slowInterval : delay) {
            [unowned self] _ in connect()
        }
    }
}
