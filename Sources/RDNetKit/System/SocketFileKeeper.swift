/// Keeps a unix socket reachable at its path: binds a new socket when the file has disappeared.
///
/// A program that cleans a directory such as /tmp may remove the file of a socket in use. The
/// socket then stays open, but no client can find it.
///
/// How it works: a timer compares the file at the path with the socket's own file. That also
/// detects a renamed directory and a mount over it, which inotify(7) does not report. All keepers
/// of a loop check in the same turn, so an idle program wakes up once per interval. Only an empty
/// path is bound again. A file that another program put there stays, even if it is a stale socket,
/// because that program owns the path now.
final class SocketFileKeeper: TimerObserver {
    /// The time between two checks.
    static let interval: Duration = .seconds(2)

    private let kind: SocketKind
    private let access: SocketAccess
    private let loop: EventLoop
    private let log: Logger
    private let replaced: (consuming OwnedDescriptor) throws(SystemError) -> Void
    private var file: SocketFile
    private var timer: TimerWheel.Token?
    /// Why the path does not lead to the socket, as last logged; nil while it does.
    private var obstacle: String?

    /// Starts to check a path to which a socket was just bound.
    ///
    /// - Parameters:
    ///   - path: The socket's file.
    ///   - kind: The socket's type.
    ///   - access: Who may connect, now and after the file was created again.
    ///   - loop: The loop that runs the checks; it retains this object until `close`.
    ///   - log: Receives one line for each change.
    ///   - replaced: Receives the new socket, which is bound, and listens unless it is a datagram
    ///     socket.
    init(
        _ path: String,
        _ kind: SocketKind,
        access: SocketAccess = SocketAccess(),
        loop: EventLoop,
        log: Logger,
        replaced: @escaping (consuming OwnedDescriptor) throws(SystemError) -> Void
    ) {
        file = SocketFile(path)
        self.kind = kind
        self.access = access
        self.loop = loop
        self.log = log
        self.replaced = replaced
        schedule()
    }

    /// The socket's path.
    var path: String { file.path }

    /// Stops checking, and removes the socket's file unless the path leads to a different one.
    func close() {
        if let timer { loop.cancel(timer) }
        timer = nil
        file.remove()
    }

    private func schedule() {
        let (now, interval) = (loop.now.nanoseconds, Self.interval.wholeNanoseconds)
        let next = Instant(nanoseconds: (now / interval + 1) * interval)
        timer = loop.schedule(next, observer: self)
    }

    func timerFired(now: Instant) {
        schedule()
        switch file.state {
        case .present: obstacle = nil
        case .replaced: report("another program's file is at the path")
        case .missing: bindAgain()
        }
    }

    private func bindAgain() {
        do throws(SystemError) {
            let socket = try ListeningSocket.unix(
                path: path,
                kind,
                access: access,
                replacesStale: false
            )
            let newFile = SocketFile(path)
            do throws(SystemError) {
                try replaced(socket)
            } catch {
                newFile.remove()
                throw error
            }
            file = newFile
            obstacle = nil
            log.warning("socket file was removed; created it again", ["path": path])
        } catch {
            report("\(error)")
        }
    }

    private func report(_ cause: String) {
        guard cause != obstacle else { return }
        obstacle = cause
        log.warning("clients cannot find the socket", ["path": path, "cause": cause])
    }
}
