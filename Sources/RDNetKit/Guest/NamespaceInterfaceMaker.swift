/// Creates the interface of a namespace again, after its deletion, for a process outside the
/// namespace that may not enter it.
///
/// The parent, `up`, notices the deletion and requests the interface with one byte; the answer is
/// one byte with the TAP's descriptor.
final class NamespaceInterfaceMaker: ReadinessObserver {
    static let request: [UInt8] = [1]

    private let parent: OwnedDescriptor
    private let loop: EventLoop
    private let make: () throws -> TAPDevice
    private let made: (Result<Void, any Error>) -> Void
    private var watch: EventLoop.Watch?

    /// Starts to wait for requests.
    ///
    /// - Parameters:
    ///   - parent: A stream socket.
    ///   - loop: Reports requests.
    ///   - make: Creates the interface.
    ///   - made: Called after the parent has received the descriptor, or with the reason why not.
    /// - Throws: `SystemError` if the loop cannot watch the socket.
    init(
        _ parent: consuming OwnedDescriptor,
        loop: EventLoop,
        make: @escaping () throws -> TAPDevice,
        made: @escaping (Result<Void, any Error>) -> Void
    ) throws(SystemError) {
        self.parent = parent
        self.loop = loop
        self.make = make
        self.made = made
        watch = try loop.watch(self.parent.number, for: .readable, observer: self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            guard let octets = try Socket.receive(parent, upTo: 1) else { return }
            // At the end of the stream, the parent has ended, and this process ends with it.
            guard octets == Self.request else { return close() }
            let device = try make()
            try DescriptorPassing.send(device.descriptor.number, over: parent)
        } catch {
            return made(.failure(error))
        }
        made(.success(()))
    }

    private func close() {
        if let watch { loop.forget(watch) }
        watch = nil
    }
}
