/// Creates sockets inside a namespace for a process outside it that may not enter.
///
/// The parent limits its outstanding requests, so replies always fit into the socket.
final class NamespaceSocketMaker: ReadinessObserver {
    private static let requestsPerTurn = 64

    private let parent: OwnedDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?

    /// Whether the parent may send more requests.
    var isServing: Bool { watch != nil }

    /// Creates a server and starts serving.
    ///
    /// - Parameters:
    ///   - parent: A packet socket.
    ///   - loop: Reports requests.
    /// - Throws: `SystemError` if the loop cannot watch the socket.
    init(_ parent: consuming OwnedDescriptor, loop: EventLoop) throws(SystemError) {
        self.parent = parent
        self.loop = loop
        watch = try loop.watch(self.parent.number, for: .readable, observer: self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.requestsPerTurn {
            do {
                guard let octets = try Socket.receive(parent, upTo: 64) else { return }
                guard let request = NamespaceSocketRequest(reading: octets.span.bytes) else {
                    return close()
                }
                try answer(request)
            } catch {
                return close()
            }
        }
    }

    private func answer(_ request: NamespaceSocketRequest) throws(SystemError) {
        let socket: OwnedDescriptor
        do throws(SystemError) {
            socket = try Self.make(request)
        } catch {
            _ = try Socket.send(parent, NamespaceSocketReply(errno: error.errno).octets)
            return
        }
        let reply = NamespaceSocketReply(errno: 0)
        try DescriptorPassing.send(socket.number, with: reply.octets, over: parent)
    }

    private static func make(
        _ request: NamespaceSocketRequest
    ) throws(SystemError) -> OwnedDescriptor {
        switch request.kind {
        case .stream: try Socket.relayingStream(to: request.target)
        case .datagram: try Socket.relayingDatagram(to: request.target)
        case .listener: try ListeningSocket.tcp(request.target)
        case .boundDatagram: try ListeningSocket.udp(request.target)
        }
    }

    /// Stops serving: the parent has ended, or does not follow the protocol.
    private func close() {
        if let watch { loop.forget(watch) }
        watch = nil
    }
}
