internal import CLinux
internal import Glibc

/// A child process that reaches named files for a parent that has no access to the file system.
///
/// The host's resolv.conf is often replaced by a new file, and a socket's file may have to be made
/// again; no rule of Landlock can name these in advance. The child keeps its access. The parent
/// asks it for a path and gets a descriptor. Which paths it may ask for was fixed when the child
/// started, so a compromised parent reaches nothing else.
final class FileBroker {
    /// The paths that the parent may ask for.
    struct Grants {
        /// Files to open for reading.
        var readable: [String] = []
        /// Paths of unix sockets to listen at.
        var listening: [String] = []
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

        fileprivate func allow(_ request: Request, _ path: String) -> Bool {
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

    fileprivate enum Request: UInt8 {
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

    private static let patience: Duration = .seconds(1)
    /// Added to a request for a socket that may take the place of a stale one.
    private static let replacing: UInt8 = 0x80
    /// A request number, a kind, and a path of at most PATH_MAX bytes.
    private static let maximumRequest = 4_098

    let grants: Grants
    private let socket: OwnedDescriptor
    private var lastRequest: UInt8 = 0

    /// Starts the child.
    ///
    /// - Throws: `SystemError`.
    init(_ grants: Grants) throws(SystemError) {
        self.grants = grants
        let pair = try Socket.pair(ofPackets: true)
        let number = pair.other.number
        _ = try Namespace.fork { Self.serve(grants, over: number) }
        socket = pair.one
    }

    /// Opens a file for reading.
    ///
    /// - Throws: `SystemError`: open(2)'s; `isBrokerGone` if the child does not answer.
    func open(_ path: String) throws(SystemError) -> OwnedDescriptor {
        try ask(.open, path)
    }

    /// Connects to a unix stream socket; the result does not block.
    ///
    /// - Throws: `SystemError`: connect(2)'s; `isBrokerGone` if the child does not answer.
    func connect(to path: String) throws(SystemError) -> OwnedDescriptor {
        try ask(.connect, path)
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
        return try ask(request, path, flag: replacesStale ? Self.replacing : 0)
    }

    private func ask(
        _ request: Request,
        _ path: String,
        flag: UInt8 = 0
    ) throws(SystemError) -> OwnedDescriptor {
        guard path.utf8.count <= Self.maximumRequest - 2 else {
            throw SystemError.tooLong("open \(path)")
        }
        lastRequest &+= 1
        do {
            _ = try Socket.send(socket, [lastRequest, request.rawValue | flag] + Array(path.utf8))
        } catch {
            throw Self.gone(path)
        }
        let deadline = EventLoop.monotonicClock() + Self.patience
        while true {
            var answer = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
            let rest = max(deadline - EventLoop.monotonicClock(), .zero)
            guard poll(&answer, 1, Int32(rest.wholeNanoseconds / 1_000_000)) > 0 else {
                throw Self.gone(path)
            }
            guard let packet = try DescriptorPassing.receivePacket(over: socket) else { continue }
            guard packet.octets.count == 2 else { throw Self.gone(path) }
            // The answer to a request that was given up is not the one to wait for.
            guard packet.octets[0] == lastRequest else { continue }
            let code = Int32(packet.octets[1])
            guard let descriptor = packet.descriptor else {
                throw SystemError(call: "\(request.call) \(path)", errno: code)
            }
            return descriptor
        }
    }

    private static func gone(_ path: String) -> SystemError {
        SystemError(call: "open \(path) by the broker", errno: ETIMEDOUT)
    }

    // MARK: The child

    /// The child's whole work; it ends with its parent.
    private static func serve(_ grants: Grants, over number: Int32) -> Int32 {
        WorkingChild.begin("rdnet-files", keeping: [number])
        let socket = OwnedDescriptor(adopting: number)
        do {
            try socket.setBlocking()
            try Privileges.reduce(to: grants.capabilities)
            try Privileges.refuseNew()
            try Privileges.hideMemory()
            try SandboxCalls.broker.enforceIfSupported()
        } catch {
            return 1
        }
        var octets = [UInt8](repeating: 0, count: maximumRequest)
        while true {
            let count = recv(number, &octets, octets.count, 0)
            guard count > 2, let request = Request(rawValue: octets[1] & ~replacing) else {
                return 0
            }
            let replacesStale = octets[1] & replacing != 0
            let path = String(decoding: octets[2..<count], as: UTF8.self)
            do {
                let granted = grants.allow(request, path) ? path : nil
                try answer(octets[0], over: socket) { () throws(SystemError) in
                    guard let granted else { throw SystemError(call: "broker", errno: EPERM) }
                    return try fulfill(request, granted, replacesStale)
                }
            } catch {
                return 1
            }
        }
    }

    private static func answer(
        _ number: UInt8,
        over socket: borrowing OwnedDescriptor,
        _ open: () throws(SystemError) -> OwnedDescriptor
    ) throws(SystemError) {
        let descriptor: OwnedDescriptor
        do throws(SystemError) {
            descriptor = try open()
        } catch {
            _ = try Socket.send(socket, [number, UInt8(truncatingIfNeeded: error.errno)])
            return
        }
        try DescriptorPassing.send(descriptor.number, with: [number, 0], over: socket)
    }

    private static func fulfill(
        _ request: Request,
        _ path: String,
        _ replacesStale: Bool
    ) throws(SystemError) -> OwnedDescriptor {
        switch request {
        case .open:
            let number = try systemCall("open \(path)") {
                Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            }
            return OwnedDescriptor(adopting: number)
        case .connect:
            guard let address = SocketAddress(path: path) else {
                throw SystemError.tooLong("connect \(path)")
            }
            let stream = try Socket.makeUnix()
            _ = try Socket.connect(stream, to: address)
            return stream
        case .listenForStreams, .listenForPackets, .bindForDatagrams:
            return try ListeningSocket.unix(
                path: path,
                request.kind,
                replacesStale: replacesStale
            )
        }
    }
}

extension SystemError {
    /// Whether the broker gave no answer, which says nothing about the file.
    var isBrokerGone: Bool { call.hasSuffix("by the broker") }
}
