/// Sockets of a network namespace, created by a process inside it.
///
/// How it works: requests and replies are packets in the same order. The number of outstanding
/// requests is limited, so neither side ever waits for the other; further requests wait here, up to
/// a limit. When the process ends, all requests fail.
final class NamespaceSockets: ReadinessObserver {
    /// Receives the socket, which may still be connecting; nil if it could not be created.
    typealias Taker = (consuming OwnedDescriptor?) -> Void

    private static let maximumUnderWay = 64
    private static let maximumWaiting = 4096

    private let maker: OwnedDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?
    private var waiting: [(request: NamespaceSocketRequest, take: Taker)] = []
    private var underWay: [Taker] = []

    /// Creates a client and starts waiting for replies.
    ///
    /// - Parameters:
    ///   - maker: A packet socket connected to the process.
    ///   - loop: Reports the replies.
    /// - Throws: `SystemError` if the loop cannot watch the socket.
    init(_ maker: consuming OwnedDescriptor, loop: EventLoop) throws(SystemError) {
        self.maker = maker
        self.loop = loop
        watch = try loop.watch(self.maker.number, for: .readable, observer: self)
    }

    /// Whether every request has been answered.
    var isIdle: Bool { waiting.isEmpty && underWay.isEmpty }

    /// Requests a socket.
    ///
    /// - Parameters:
    ///   - request: The type of the socket and its destination.
    ///   - take: Called once.
    func make(_ request: NamespaceSocketRequest, _ take: @escaping Taker) {
        guard watch != nil, waiting.count < Self.maximumWaiting else { return take(nil) }
        waiting.append((request, take))
        sendRequests()
    }

    /// Fails every request.
    func close() {
        if let watch { loop.forget(watch) }
        watch = nil
        let takers = underWay + waiting.map(\.take)
        underWay = []
        waiting = []
        for take in takers { take(nil) }
    }

    private func sendRequests() {
        let count = min(Self.maximumUnderWay - underWay.count, waiting.count)
        for (request, take) in waiting.prefix(count) {
            do {
                guard try Socket.send(maker, request.octets) != nil else { return }
                waiting.removeFirst()
                underWay.append(take)
            } catch {
                return close()
            }
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.maximumUnderWay where watch != nil {
            do {
                guard let packet = try DescriptorPassing.receivePacket(over: maker) else { break }
                let octets = packet.octets
                guard let reply = NamespaceSocketReply(reading: octets.span.bytes),
                    !underWay.isEmpty
                else { return close() }
                let take = underWay.removeFirst()
                if reply.errno == 0 { take(packet.descriptor) } else { take(nil) }
            } catch {
                return close()
            }
        }
        if watch != nil { sendRequests() }
    }
}
