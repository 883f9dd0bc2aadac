/// Receives new streams for `vm-switch` from its parent when the old one has ended.
///
/// How it works: on a unix socket that the parent names in the environment, a request is one byte,
/// and the answer is one byte with a descriptor (SCM_RIGHTS). If the socket is closed, the parent
/// has ended, and requests would get no answer.
final class LinkSupply: ReadinessObserver {
    /// The environment variable with the descriptor's number.
    static let variable = "RDNET_LINK_SUPPLY"

    private let socket: OwnedDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?
    /// Called with each new stream.
    var supplied: (consuming OwnedDescriptor) -> Void = { _ in }
    /// Called once when the parent has ended.
    var ended: () -> Void = {}

    /// Creates a supply that takes over the socket.
    ///
    /// - Parameters:
    ///   - number: The variable's value.
    ///   - loop: Waits for the parent.
    /// - Throws: `SystemError` if the descriptor does not exist.
    init(_ number: String, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        guard let number = Int32(number), number >= 0 else {
            throw SystemError.invalid("\(Self.variable)=\(number)")
        }
        socket = try OwnedDescriptor.inherited(number)
        watch = try loop.watch(socket.number, for: .readable, observer: self)
    }

    /// Requests a stream.
    func request() {
        do {
            _ = try Socket.send(socket, [0])
        } catch {
            // The parent has ended; reading detects that, too.
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
