/// Why `ssh` could not be started.
enum SSHFailure: Error, CustomStringConvertible {
    /// None in PATH.
    case noProgram
    case system(SystemError)

    var description: String {
        switch self {
        case .noProgram: "PATH has no program \"ssh\"; expected OpenSSH's"
        case .system(let error): error.description
        }
    }
}

/// One run of `ssh`: until it has ended, or is ended.
///
/// How it works: `ssh` has one end of a socket pair as its standard input and output, and the
/// guest's SSH server has the other, by a TCP connection of the virtual network. So it needs no
/// second program, and ends by itself when this process is gone, whatever ended that. It listens at
/// a socket in a directory of its own, where the key has a name without characters that `ssh` would
/// interpret. That the socket is there says that the guest has let it in.
final class SSHSession {
    /// How long a guest may take to let it in.
    static let patience: Duration = .seconds(20)
    /// Between two looks for the socket.
    private static let look: Duration = .milliseconds(50)
    /// Lines that are kept to say why it ended.
    private static let maximumLines = 16
    private static let socketName = "socket"
    private static let keyName = "key"

    /// What is told of a run.
    struct Events {
        /// It takes clients from now on.
        var ready: (Instant) -> Void
        /// It said something while it took clients.
        var said: (String) -> Void
        /// It has ended, and why; not told after `stop`.
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
    /// Whether clients can be connected.
    private(set) var isReady = false

    /// Makes a run that has not begun.
    ///
    /// - Parameters:
    ///   - target: Where it is to lead.
    ///   - program: What is run.
    ///   - loop: Where everything runs.
    ///   - events: Is told how it goes.
    init(_ target: SSHTarget, _ program: SSHProgram, loop: EventLoop, events: Events) {
        self.target = target
        self.program = program
        self.loop = loop
        self.events = events
    }

    /// Begins.
    ///
    /// - Parameter connector: Connects it to the guest's SSH server.
    /// - Throws: `SSHFailure`; nothing is left behind then.
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
                // An interrupt from the terminal is for this process alone.
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
    /// - Returns: A stream, connected as far as `ssh`.
    /// - Throws: `SystemError` when `ssh` does not take it now.
    func connect() throws(SystemError) -> OwnedDescriptor {
        let path = directory?.file(Self.socketName) ?? ""
        guard isReady, let address = SocketAddress(path: path) else {
            throw SystemError.invalid("connect \(path)")
        }
        let stream = try Socket.makeUnix()
        _ = try Socket.connect(stream, to: address)
        return stream
    }

    /// Ends it, and removes what it has made.
    func stop() {
        isReady = false
        if let timer { loop.cancel(timer) }
        timer = nil
        // Before its directory goes: it could still put a socket there.
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
        // It says so every time, as it is told to trust all and to remember none; and it frames a
        // warning with at signs.
        let isNoise = line.hasPrefix("Warning: Permanently added") || line.hasPrefix("@")
        guard !isNoise, lines.count < Self.maximumLines else { return }
        lines.append(naming(line))
    }

    /// The line with the guest in place of what `ssh` calls a peer that has no address.
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
