/// Connects forwards to guests through the packet engine.
extension PacketEngine: GuestConnector {
    var hasRoom: Bool { descriptors.hasRoom(for: 1) }

    func admits(_ client: Endpoint, to guest: Endpoint) -> Bool {
        guard plan.isolatesGuests, let other = udp.hairpinGuest(at: client),
            other != ethernet.routers.neighbor(toward: guest.address)
        else { return true }
        network.drop(.isolated)
        return false
    }

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        tcp.open(to: guest, joining: stream, now: loop.now)
    }

    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        let port = datagramPorts.open(to: guest) { [weak receiver] payload, now in
            receiver?.receiveFromGuest(payload, now: now)
        } refused: { [weak receiver] now in
            receiver?.guestRefused(now: now)
        }
        guard let port else {
            limits.reached(.forwardClients, maximum: GatewayPorts.capacity)
            return nil
        }
        datagramPorts.watchStrays(of: guest, at: port) { [weak receiver] payload, guestPort, now in
            receiver?.receiveFromGuest(payload, at: guestPort, now: now) ?? false
        }
        return GatewayDatagramPort(number: port, guest: guest, engine: self)
    }
}

/// A gateway UDP port of the packet engine.
private final class GatewayDatagramPort: GuestDatagramPort {
    private let number: UInt16
    private let guest: Endpoint
    private weak var engine: PacketEngine?

    init(number: UInt16, guest: Endpoint, engine: PacketEngine) {
        self.number = number
        self.guest = guest
        self.engine = engine
    }

    func send(_ payload: UnsafeRawBufferPointer) {
        guard let engine else { return }
        let source = Endpoint(
            address: engine.network.client(seenBy: guest.address),
            port: number
        )
        engine.udp.send(payload, from: source, to: guest)
    }

    func openSibling(
        to guestPort: UInt16,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? {
        let sibling = Endpoint(address: guest.address, port: guestPort)
        guard let engine,
            engine.datagramPorts.open(
                number,
                to: sibling,
                { [weak receiver] payload, now in receiver?.receiveFromGuest(payload, now: now) },
                refused: { [weak receiver] now in receiver?.guestRefused(now: now) }
            )
        else { return nil }
        return GatewayDatagramPort(number: number, guest: sibling, engine: engine)
    }

    func close() {
        engine?.datagramPorts.close(number, guest: guest)
        engine = nil
    }
}
