internal import CLinux
internal import Glibc

/// A child process that reaches named files for a parent that has no access to the file system.
///
/// The host's resolv.conf is often replaced by a new file, and a socket's file may have to be made
/// again; no rule of Landlock can name these in advance. The child keeps its access. The parent
/// asks it for a path and gets a descriptor. Which paths it may ask for was fixed when the child
/// started, so a compromised parent reaches nothing else.
///
/// The parent waits for an answer, but not for long: a child that hangs, such as on a file server
/// that is down, costs the loop one wait of `patience`. Until it answers, each request fails at
/// once. The log says when the child hangs, when it answers again, and when it has ended.
final class FileBroker: ReadinessObserver {
    /// The paths that the parent may ask for.
    struct Grants {
        /// Files to open for reading.
        var readable: [String] = []
        /// Paths of unix sockets to listen at.
        var listening: [String] = []
        /// Who may connect to sockets that are not for this user alone, by path.
        var access: [String: SocketAccess] = [:]
        /// Folders in which it may listen at any path.
        var folders: [String] = []
        /// Paths of unix sockets to connect to.
        var connecting: [String] = []
        /// Folders in which it may connect to any unix socket.
        var connectingFolders: [String] = []
        /// The capabilities to keep for it.
        var capabilities: Set<Capability> = []

        /// Whether the parent may ask for nothing.
        var isEmpty: Bool {
            [readable, listening, folders, connecting, connectingFolders].allSatisfy(\.isEmpty)
        }

        /// The groups of the sockets.
        var groups: Set<UInt32> { Set(access.values.compactMap(\.group)) }

        func allow(_ request: Request, _ path: String) -> Bool {
            switch request {
            case .open: readable.contains(path)
            case .connect:
                connecting.contains(path)
                    || connectingFolders.contains { Self.isDirectly(path, in: $0) }
            case .listenForStreams, .listenForPackets, .bindForDatagrams:
                listening.contains(path) || folders.contains { Self.isDirectly(path, in: $0) }
            }
        }

        /// Whether a path names an entry of a folder, as opposed to one of a folder below it.
        static func isDirectly(_ path: String, in folder: String) -> Bool {
            let prefix = folder.hasSuffix("/") ? folder : folder + "/"
            guard path.hasPrefix(prefix) else { return false }
            let name = path.dropFirst(prefix.count)
            return !name.isEmpty && !name.contains("/") && name != "." && name != ".."
        }
    }

    enum Request: UInt8 {
        case open
        case connect
        case listenForStreams
        case listenForPackets
        case bindForDatagrams

        /// The system call, for errors.
        var call: String {
            switch self {
            case .open: "open"
            case .connect: "connect"
            case .listenForStreams, .listenForPackets, .bindForDatagrams: "bind"
            }
        }

        var kind: SocketKind {
            switch self {
            case .listenForPackets: .packet
            case .bindForDatagrams: .datagram
            case .open, .connect, .listenForStreams: .stream
            }
        }
    }

    /// The broker of this process once it has given up its own access; set once.
    nonisolated(unsafe) static var current: FileBroker?

    /// How long the loop waits for an answer.
    static let patience: Duration = .seconds(1)
    /// Added to a request for a socket that may take the place of a stale one.
    static let replacing: UInt8 = 0x80
    /// A request number, a kind, and a path of at most PATH_MAX bytes.
    static let maximumRequest = 4_098

    /// Why a request failed.
    enum Failure: Error, Equatable {
        /// The child does not answer, which says nothing about the file.
        case gone(String)
        /// The error of the child's system call.
        case refused(SystemError)

        /// The failure as the error of a system call.
        var systemError: SystemError {
            switch self {
            case .gone(let path): SystemError(call: "open \(path) by the broker", errno: ETIMEDOUT)
            case .refused(let error): error
            }
        }
    }

    let grants: Grants
    private let socket: OwnedDescriptor
    private var lastRequest: UInt8 = 0
    /// Whether the child has not answered the last request yet.
    private var isStuck = false
    private let log: Logger
    private var watch: EventLoop.Watch?
    private weak var loop: EventLoop?

    /// Starts the child.
    ///
    /// - Parameters:
    ///   - grants: What it may open.
    ///   - log: For a child that does not answer.
    /// - Throws: `SystemError`.
    init(_ grants: Grants, log: Logger) throws(SystemError) {
        self.grants = grants
        self.log = log
        let pair = try Socket.pair(ofPackets: true)
        let number = pair.other.number
        _ = try Namespace.fork { Self.serve(grants, over: number) }
        socket = pair.one
    }

    /// Reports in the log when the child ends.
    ///
    /// - Parameter loop: Reports the end of the connection.
    /// - Throws: `SystemError`.
    func watchEnd(on loop: EventLoop) throws(SystemError) {
        self.loop = loop
        watch = try loop.watch(socket.number, for: [], observer: self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if let watch { loop?.forget(watch) }
        watch = nil
        log.error(
            "the process that opens files for the sandbox has ended",
            ["lost": "changes of DNS files, removed sockets, new unix sockets"]
        )
    }

    /// Opens a file for reading.
    ///
    /// - Throws: `Failure`.
    func open(_ path: String) throws(Failure) -> OwnedDescriptor {
        try ask(.open, path)
    }

    /// Connects to a unix stream socket; the result does not block.
    ///
    /// - Throws: `SystemError`: connect(2)'s, or ETIMEDOUT if the child does not answer.
    func connect(to path: String) throws(SystemError) -> OwnedDescriptor {
        do {
            return try ask(.connect, path)
        } catch {
            throw error.systemError
        }
    }

    /// Listens at a path, as `ListeningSocket.unix` does.
    ///
    /// - Throws: `SystemError`; EPERM for a path that was not granted.
    func listen(
        at path: String,
        _ kind: SocketKind,
        replacesStale: Bool
    ) throws(SystemError) -> OwnedDescriptor {
        let request: Request =
            switch kind {
            case .packet: .listenForPackets
            case .datagram: .bindForDatagrams
            default: .listenForStreams
            }
        do {
            return try ask(request, path, flag: replacesStale ? Self.replacing : 0)
        } catch {
            throw error.systemError
        }
    }

    private func ask(
        _ request: Request,
        _ path: String,
        flag: UInt8 = 0
    ) throws(Failure) -> OwnedDescriptor {
        guard path.utf8.count <= Self.maximumRequest - 2 else {
            throw .refused(.tooLong("open \(path)"))
        }
        if isStuck, try !isAnswered(path) { throw .gone(path) }
        lastRequest &+= 1
        do {
            _ = try Socket.send(socket, [lastRequest, request.rawValue | flag] + Array(path.utf8))
        } catch {
            throw .gone(path)
        }
        guard var packet = try receiveAnswer(for: path) else {
            isStuck = true
            log.error(
                "the process that opens files for the sandbox does not answer",
                ["path": path, "seconds": "\(Self.patience.components.seconds)"]
            )
            throw .gone(path)
        }
        let code = Int32(packet.octets[1])
        guard let descriptor = packet.descriptor.take() else {
            throw .refused(SystemError(call: "\(request.call) \(path)", errno: code))
        }
        return descriptor
    }

    /// Waits for the answer to the last request; nil if it takes too long.
    private func receiveAnswer(
        for path: String
    ) throws(Failure) -> DescriptorPassing.Packet? {
        let deadline = EventLoop.monotonicClock() + Self.patience
        while true {
            var answer = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
            let rest = max(deadline - EventLoop.monotonicClock(), .zero)
            let count = poll(&answer, 1, Int32(rest.millisecondsRoundedUp))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return nil }
            guard let packet = try receivePacket(for: path) else { continue }
            guard packet.octets.count == 2 else { throw .gone(path) }
            // The answer to a request that was given up is not the one to wait for.
            if packet.octets[0] == lastRequest { return packet }
        }
    }

    /// Whether the late answer to the last request has come; it is discarded.
    private func isAnswered(_ path: String) throws(Failure) -> Bool {
        while let packet = try receivePacket(for: path) {
            guard packet.octets.count == 2 else { throw .gone(path) }
            guard packet.octets[0] == lastRequest else { continue }
            isStuck = false
            log.info("the process that opens files for the sandbox answers again")
            return true
        }
        return false
    }

    private func receivePacket(for path: String) throws(Failure) -> DescriptorPassing.Packet? {
        do {
            return try DescriptorPassing.receivePacket(over: socket)
        } catch {
            throw .gone(path)
        }
    }
}
