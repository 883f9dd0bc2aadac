/// Connects forwards to guests through the packet engine.
extension PacketEngine: GuestConnector {
    var hasRoom: Bool { descriptors.hasRoom(for: 1) }

    func leads(to address: IPAddress) -> Bool {
        address.isIPv4 || ethernet.leads(to: address)
    }

    func admits(_ client: Endpoint, to guest: Endpoint) -> Bool {
        guard plan.isolatesGuests, let other = udp.hairpinGuest(at: client),
            other != ethernet.routers.neighbor(toward: guest.address),
            !ethernet.areTogether(other, guest.address)
        else { return true }
        network.drop(.isolated)
        return false
    }

    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {
        guard let twin = twin(of: guest) else {
            return tcp.open(to: guest, joining: stream, now: loop.now)
        }
        // A guest may have addresses of one family only.
        let isOnlyTwin =
            ethernet.route(to: guest.address) == nil && isReachable(twin, beside: guest)
        let (first, second) = isOnlyTwin ? (twin, guest) : (guest, twin)
        look(for: second)
        tcp.open(
            to: first,
            joining: stream,
            answered: { [unowned self] answer, stream in
                if answer != .connected { retry(second, after: answer, of: first, stream) }
            },
            now: loop.now
        )
    }

    /// Asks for the other address of a guest if it is unknown, so that it is known when the first
    /// one refuses: the guest answers in the order of the questions.
    private func look(for twin: Endpoint) {
        guard ethernet.route(to: twin.address) == nil else { return }
        // Many guests have one family only, and many clients may come to one.
        if let soughtTwin, soughtTwin.address == twin.address, loop.now < soughtTwin.until {
            return
        }
        soughtTwin = (twin.address, loop.now + .seconds(1))
        network.askFor(twin.address)
    }

    /// Connects a client to the other family's address of a guest that has refused it.
    private func retry(
        _ twin: Endpoint,
        after answer: GuestAnswer,
        of guest: Endpoint,
        _ stream: borrowing OwnedDescriptor
    ) {
        guard answer == .refused, isReachable(twin, beside: guest) else {
            return Socket.resetOnClose(stream)
        }
        do {
            tcp.open(to: twin, joining: try stream.duplicate(), now: loop.now)
        } catch {
            Socket.resetOnClose(stream)
        }
    }

    /// The same port of a guest in the other address family; nil if the guest cannot have one.
    private func twin(of guest: Endpoint) -> Endpoint? {
        let address =
            guest.address.isIPv4
            ? plan.ipv6(matching: guest.address) : plan.ipv4(matching: guest.address)
        return address.map { Endpoint(address: $0, port: guest.port) }
    }

    /// Whether the other address of a guest is known, and no other machine uses it.
    private func isReachable(_ twin: Endpoint, beside guest: Endpoint) -> Bool {
        guard ethernet.route(to: twin.address) != nil,
            let mac = ethernet.neighbors.mac(of: twin.address)
        else { return false }
        let ipv4 = twin.address.isIPv4 ? twin.address : guest.address
        let owner = ethernet.neighbors.mac(of: guest.address) ?? ethernet.leaseHolder(ipv4)
        return owner == nil || owner == mac
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
