/// Why `ssh` could not be started.
enum SSHFailure: Error, CustomStringConvertible {
    /// PATH contains no `ssh`.
    case noProgram
    case system(SystemError)

    var description: String {
        switch self {
        case .noProgram: "PATH has no program \"ssh\"; expected OpenSSH's"
        case .system(let error): error.description
        }
    }
}

/// One run of `ssh`, from its start to its end.
///
/// How it works: `ssh` has one end of a socket pair as its standard input and output. A TCP
/// connection of the virtual network joins the other end to the guest's SSH server. So `ssh` needs
/// no second program, and ends by itself when this process ends for any reason. It listens on a
/// socket in a private directory, where the key has a name without characters that `ssh` would
/// interpret. The socket appears after the guest has let `ssh` in.
final class SSHSession {
    /// Time limit for the guest to let `ssh` in.
    static let patience: Duration = .seconds(20)
    /// Interval between two checks for the socket.
    private static let look: Duration = .milliseconds(50)
    /// Limit on the lines kept to explain why `ssh` ended.
    private static let maximumLines = 16
    private static let socketName = "socket"
    private static let keyName = "key"

    /// The callbacks of a run.
    struct Events {
        /// Called when `ssh` starts to accept clients.
        var ready: (Instant) -> Void
        /// Called with each line that `ssh` prints while it accepts clients.
        var said: (String) -> Void
        /// Called with the cause when the run has ended; not called after `stop`.
        var ended: (String, Instant) -> Void
    }

    private let target: SSHTarget
    private let program: SSHProgram
    private let loop: EventLoop
    private let events: Events
    private var directory: PrivateDirectory?
    private var output: ChildLines?
    private var child: ChildProcess?
    private var timer: TimerWheel.Token?
    private var lines: [String] = []
    /// Whether clients can connect.
    private(set) var isReady = false

    /// Creates a run that has not started.
    ///
    /// - Parameters:
    ///   - target: The guest's unix socket.
    ///   - program: The `ssh` to run.
    ///   - loop: The loop of all sockets and timers.
    ///   - events: The callbacks.
    init(_ target: SSHTarget, _ program: SSHProgram, loop: EventLoop, events: Events) {
        self.target = target
        self.program = program
        self.loop = loop
        self.events = events
    }

    /// Starts `ssh`.
    ///
    /// - Parameter connector: Connects `ssh` to the guest's SSH server.
    /// - Throws: `SSHFailure`; everything is cleaned up then.
    func start(over connector: any GuestConnector) throws(SSHFailure) {
        guard let path = program.path else { throw .noProgram }
        do throws(SystemError) {
            let key = try FileLink.resolved(target.identity)
            let directory = try PrivateDirectory(in: program.folders)
            self.directory = directory
            _ = try FileLink.make(directory.file(Self.keyName), to: key, isSymbolic: true)
            let output = try ChildLines(loop: loop) { [unowned self] line in heard(line) }
            self.output = output
            let pair = try Socket.pair()
            try pair.other.setBlocking()
            let stream = pair.other.number
            let command = ChildProcess.Command(
                path: path,
                arguments: target.arguments(
                    listeningAt: directory.file(Self.socketName),
                    key: directory.file(Self.keyName)
                ),
                environment: program.environment,
                descriptors: [stream, stream, output.number],
                // An interrupt from the terminal is meant for this process only.
                leadsGroup: true
            )
            child = try ChildProcess(command, on: loop) { [unowned self] end, now in
                ended("\(end)", now)
            }
            output.childHasStarted()
            connector.connect(to: target.server, joining: pair.one)
        } catch {
            stop()
            throw .system(error)
        }
        lookLater(until: loop.now + Self.patience)
    }

    /// Connects to the guest's unix socket.
    ///
    /// - Returns: A stream that is connected as far as `ssh`.
    /// - Throws: `SystemError` if `ssh` does not accept the connection now.
    func connect() throws(SystemError) -> OwnedDescriptor {
        let path = directory?.file(Self.socketName) ?? ""
        guard isReady, let address = SocketAddress(path: path) else {
            throw SystemError.invalid("connect \(path)")
        }
        let stream = try Socket.makeUnix()
        _ = try Socket.connect(stream, to: address)
        return stream
    }

    /// Ends `ssh`, and removes the files of the run.
    func stop() {
        isReady = false
        if let timer { loop.cancel(timer) }
        timer = nil
        // Before the directory is removed, because `ssh` could still create a socket there.
        child?.end()
        child = nil
        output?.close()
        output = nil
        directory?.remove(with: [Self.socketName, Self.keyName])
        directory = nil
    }

    private func lookLater(until deadline: Instant) {
        timer = loop.after(Self.look) { [unowned self] now in
            timer = nil
            guard !isListening else {
                isReady = true
                lines = []
                return events.ready(now)
            }
            guard now < deadline else {
                return ended("the guest did not complete the login within \(Self.patience)", now)
            }
            lookLater(until: deadline)
        }
    }

    private var isListening: Bool {
        guard let directory else { return false }
        do {
            return try SocketDirectory.names(in: directory.file("")).contains(Self.socketName)
        } catch {
            return false
        }
    }

    private func heard(_ line: String) {
        if isReady {
            lines = [line]
            return events.said(line)
        }
        // `ssh` prints this every time, because it is configured to accept any host key and to
        // remember none. It frames a warning with at signs.
        let isNoise = line.hasPrefix("Warning: Permanently added") || line.hasPrefix("@")
        guard !isNoise, lines.count < Self.maximumLines else { return }
        lines.append(naming(line))
    }

    /// Returns the line with the guest in place of the text that `ssh` prints for a peer without an
    /// address.
    private func naming(_ line: String) -> String {
        let unknown: [Substring] = ["UNKNOWN", "port", "65535"]
        let words = line.split(separator: " ")
        guard let index = words.firstIndex(of: unknown[0]), words[index...].starts(with: unknown)
        else { return line }
        let rest = words[(index + unknown.count)...]
        return (words[..<index] + ["\(target.server)"] + rest).joined(separator: " ")
    }

    private func ended(_ end: String, _ now: Instant) {
        output?.close()
        stop()
        events.ended(lines.isEmpty ? end : lines.joined(separator: "; "), now)
    }
}
