/// The parent that hands `vm-switch` a new stream when the old one has ended.
///
/// How it works: one octet asks, one octet with a descriptor (SCM_RIGHTS) answers, on a unix socket
/// that the parent names in the environment. The socket's end means that the parent is gone, and
/// nobody would answer.
final class LinkSupply: ReadinessObserver {
    /// The environment variable with the descriptor's number.
    static let variable = "RDNET_LINK_SUPPLY"

    private let socket: OwnedDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?
    /// Told of each new stream.
    var supplied: (consuming OwnedDescriptor) -> Void = { _ in }
    /// Told once when the parent is gone.
    var ended: () -> Void = {}

    /// Takes over the socket.
    ///
    /// - Parameters:
    ///   - number: The variable's value.
    ///   - loop: Waits for the parent.
    /// - Throws: `SystemError` when there is no such socket.
    init(_ number: String, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        guard let number = Int32(number), number >= 0 else {
            throw SystemError.invalid("\(Self.variable)=\(number)")
        }
        socket = try OwnedDescriptor.inherited(number)
        watch = try loop.watch(socket.number, for: .readable, observer: self)
    }

    /// Asks for a stream.
    func request() {
        do {
            _ = try Socket.send(socket, [0])
        } catch {
            // The parent is gone, which reading tells as well.
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            if let stream = try DescriptorPassing.receive(over: socket) { return supplied(stream) }
        } catch {
            // A socket that cannot be read has no parent either.
        }
        if let watch { loop.forget(watch) }
        watch = nil
        ended()
    }
}
