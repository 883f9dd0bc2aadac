/// One socket that asks for names on the host's links in one address family.
final class MulticastQuerier: ReadinessObserver {
    private static let datagramsPerTurn = 64
    /// Datagrams after which nothing more is read: no link has as many responders.
    private static let datagramLimit = 256

    private let descriptor: OwnedDescriptor
    private let group: Endpoint
    private let loop: EventLoop
    private let buffer: ReceiveBuffer
    private let received: ([UInt8], Endpoint) -> Void
    private var watch: EventLoop.Watch?
    private var datagrams = 0

    /// Opens a socket at a random port of the kernel's choice.
    ///
    /// - Parameters:
    ///   - isIPv6: The family.
    ///   - loop: Watches it until `close`.
    ///   - buffer: Scratch memory.
    ///   - received: Is given every datagram and its sender.
    /// - Throws: `SystemError` without the family or a descriptor.
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

    /// Sends a message on a link; whether it left.
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
                // An error that waited in the socket concerns one link's query.
                datagrams += 1
                if datagrams > Self.datagramLimit { return close() }
            }
        }
    }
}
