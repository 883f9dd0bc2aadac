/// Shared by all forwards that use `ssh`.
struct SSHSurroundings {
    let loop: EventLoop
    let log: Logger
    let limits: LimitLog
    let program: SSHProgram
    let counters: ForwardCounters
}

/// A unix socket on the host whose clients the system's `ssh` connects to a guest's unix socket.
///
/// How it works: one `ssh` process carries all clients, each in its own channel. It starts
/// immediately, and restarts whenever it ends. Each client is relayed to the socket on which `ssh`
/// listens. Until that socket exists, clients wait in the kernel's queue of the host socket; so do
/// clients beyond the limit. A client that was just accepted when `ssh` ended is kept, too.
final class SSHForward: OpenForward {
    static let maximumClients = 256
    /// Consecutive failures after which retries slow down to `slowInterval`.
    static let quickTries = 60
    static let slowInterval: Duration = .seconds(10)
    /// Limit on distinct causes logged at level warning while the forward is down.
    private static let maximumCauses = 8
    /// Interval between two attempts to connect a client.
    private static let retry: Duration = .milliseconds(100)
    /// Minimum interval between two warnings with messages of `ssh` while the forward is up.
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
    /// Why `ssh` has ended since the forward was last up.
    private var causes: Set<String> = []
    private var quietUntil: Instant?
    /// An accepted client that `ssh` has not accepted yet.
    private var waiting: OwnedDescriptor?
    private var retrying: TimerWheel.Token?

    /// Creates a forward and starts listening and connecting.
    ///
    /// - Parameters:
    ///   - socket: A listening socket.
    ///   - path: The socket's file.
    ///   - target: The guest's unix socket.
    ///   - connector: Connects to guests; not kept alive.
    ///   - surroundings: Shared with the other `ssh` forwards.
    /// - Throws: `SystemError` if the loop cannot watch the socket.
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
            limits: surroundings.limits,
            replyOctets: 0
        )
        do throws(SystemError) {
            listener = try StreamListener(
                socket,
                path: path,
                loop: surroundings.loop,
                log: surroundings.log,
                limits: surroundings.limits,
                counters: surroundings.counters.listeners,
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

    /// Nil, because the forward listens on a unix socket.
    var endpoint: Endpoint? { nil }

    /// Stops listening, and ends `ssh` and the connections of its clients.
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
        // `ssh` may alternate between several wordings of the same refusal.
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
