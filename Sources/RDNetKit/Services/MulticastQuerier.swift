/// One socket that queries names on the host's links in one address family.
final class MulticastQuerier: ReadinessObserver {
    private static let datagramsPerTurn = 64
    /// Limit on datagrams, after which the socket closes: no link has that many responders.
    private static let datagramLimit = 256

    private let descriptor: OwnedDescriptor
    private let group: Endpoint
    private let loop: EventLoop
    private let buffer: ReceiveBuffer
    private let received: ([UInt8], Endpoint) -> Void
    private var watch: EventLoop.Watch?
    private var datagrams = 0

    /// Opens a socket at a random port that the kernel chooses.
    ///
    /// - Parameters:
    ///   - isIPv6: The address family.
    ///   - loop: Watches the socket until `close`.
    ///   - buffer: Scratch memory.
    ///   - received: Receives every datagram and its sender.
    /// - Throws: `SystemError` if the address family or a descriptor is not available.
    init(
        forIPv6 isIPv6: Bool,
        loop: EventLoop,
        buffer: ReceiveBuffer,
        received: @escaping ([UInt8], Endpoint) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.buffer = buffer
        self.received = received
        let address = isIPv6 ? MulticastDNS.groupIPv6 : MulticastDNS.groupIPv4
        group = Endpoint(address: address, port: MulticastDNS.port)
        descriptor = try Socket.groupQuerier(forIPv6: isIPv6)
        watch = try loop.watch(descriptor.number, for: .readable, observer: self)
    }

    /// Sends a message on a link; returns whether it was sent.
    func send(_ message: [UInt8], on link: MulticastLink) -> Bool {
        Socket.send(descriptor, message, toGroup: group, on: link.index)
    }

    func close() {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        for _ in 0..<Self.datagramsPerTurn {
            do {
                guard watch != nil,
                    let (count, sender) = try Socket.receiveDatagram(
                        descriptor,
                        into: buffer.memory
                    )
                else { return }
                datagrams += 1
                if datagrams > Self.datagramLimit { return close() }
                guard let source = sender.endpoint, count <= MulticastDNS.maximumLength else {
                    continue
                }
                received(buffer.prefix(count), source)
            } catch {
                // A pending error of the socket concerns one link's query.
                datagrams += 1
                if datagrams > Self.datagramLimit { return close() }
            }
        }
    }
}
