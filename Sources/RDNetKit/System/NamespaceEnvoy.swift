internal import Glibc

/// A child process that works in a namespace which this process does not enter, and passes
/// descriptors from there.
///
/// A process with a sandbox cannot enter a namespace, and the way back out of a user namespace is
/// closed.
struct NamespaceEnvoy: ~Copyable {
    /// How long the child may take for one descriptor.
    private static let patience: Duration = .seconds(10)
    /// Limit on the child's explanation in bytes.
    private static let messageLength = 512

    /// The child's process ID.
    let process: Int32
    /// Connected to the child, by packets.
    private let control: WaitingSocket

    /// Starts the child.
    ///
    /// - Parameters:
    ///   - subject: What an error is about, such as the interface's name.
    ///   - work: The child's work; it passes descriptors over the socket. The result is the child's
    ///     exit status.
    /// - Throws: `SystemError` if no process can be made.
    init(
        for subject: String,
        _ work: (borrowing OwnedDescriptor) throws -> Int32
    ) throws(SystemError) {
        let pair = try Socket.pair(ofPackets: true)
        let (own, other) = (pair.one.number, pair.other.number)
        process = try Namespace.fork {
            // Otherwise the child would not notice the end of its parent.
            _ = OwnedDescriptor(adopting: own)
            let socket = OwnedDescriptor(adopting: other)
            do {
                // The parent receives meanwhile.
                try Socket.setBlocking(socket)
                return try work(socket)
            } catch {
                let text = "\(subject): \(error)".utf8.prefix(Self.messageLength)
                do { _ = try Socket.send(socket, Array(text)) } catch { return 2 }
                return 1
            }
        }
        control = WaitingSocket(pair.one)
    }

    /// Waits for a descriptor.
    ///
    /// - Throws: `NamespaceEnvoyError`, or `SystemError`.
    func receive() throws -> OwnedDescriptor {
        guard let descriptor = try receiveOptional() else { throw NamespaceEnvoyError.silent }
        return descriptor
    }

    /// Waits for a descriptor; nil if the child has none for this place.
    ///
    /// - Throws: `NamespaceEnvoyError`, or `SystemError`.
    func receiveOptional() throws -> OwnedDescriptor? {
        try control.waitForBytes(within: Self.patience)
        guard
            let message = try DescriptorPassing.receivePacket(
                over: control.descriptor,
                upTo: Self.messageLength
            ), !message.octets.isEmpty
        else { throw NamespaceEnvoyError.silent }
        if message.octets == Self.nothing { return nil }
        let text = String(decoding: message.octets, as: UTF8.self)
        guard let descriptor = message.descriptor else { throw NamespaceEnvoyError.explained(text) }
        return descriptor
    }

    /// Tells the child to go on.
    func proceed() throws(SystemError) {
        try control.send([1], within: Self.patience)
    }

    // MARK: In the child

    /// The packet that stands for a descriptor that there is not.
    private static let nothing: [UInt8] = [1]

    /// Passes on that there is no descriptor for this place.
    static func sendNothing(over socket: borrowing OwnedDescriptor) throws(SystemError) {
        _ = try Socket.send(socket, nothing)
    }

    /// Waits until the parent calls `proceed`.
    ///
    /// - Throws: `SystemError` if the parent ends first, or takes too long.
    static func waitForParent(_ socket: borrowing OwnedDescriptor) throws(SystemError) {
        guard try WaitingSocket.hasBytes(socket, within: patience),
            let octets = try Socket.receive(socket, upTo: 1)
        else { throw SystemError(call: "wait for the parent", errno: ETIMEDOUT) }
        if octets.isEmpty { throw SystemError(call: "wait for the parent", errno: EPIPE) }
    }
}

/// Why a child process passed no descriptor.
enum NamespaceEnvoyError: Error, Equatable, CustomStringConvertible {
    /// It ended without an explanation.
    case silent
    /// What it said.
    case explained(String)

    var description: String {
        switch self {
        case .silent: "no interface"
        case .explained(let text): text
        }
    }
}
