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
        connect(to: .tcp(guest), joining: stream, answered: { _ in })
    }

    func connect(
        to destination: ForwarderDestination,
        joining stream: consuming OwnedDescriptor,
        answered: @escaping (GuestAnswer) -> Void
    ) {
        guard case .tcp(let guest) = destination else { return Socket.resetOnClose(stream) }
        guard let twin = twin(of: guest) else { return open(to: guest, stream, answered) }
        let (first, second) = order(guest, twin)
        look(for: second)
        tcp.open(
            to: first,
            joining: stream,
            answered: { [unowned self] answer, stream in
                if answer == .refused, isReachable(second, beside: first) {
                    retry(second, stream, answered)
                } else {
                    Self.end(answer, stream, answered)
                }
            },
            now: loop.now
        )
    }

    /// Connects a client to the only address of a guest that is left to try.
    private func open(
        to guest: Endpoint,
        _ stream: consuming OwnedDescriptor,
        _ answered: @escaping (GuestAnswer) -> Void
    ) {
        tcp.open(
            to: guest,
            joining: stream,
            answered: { Self.end($0, $1, answered) },
            now: loop.now
        )
    }

    /// Reports a guest's answer, and resets a client that it did not accept.
    private static func end(
        _ answer: GuestAnswer,
        _ stream: borrowing OwnedDescriptor,
        _ answered: (GuestAnswer) -> Void
    ) {
        if answer != .connected { Socket.resetOnClose(stream) }
        answered(answer)
    }

    /// The endpoint of a guest to try first, and the other one; a guest may have addresses of one
    /// family only.
    fileprivate func order(_ guest: Endpoint, _ twin: Endpoint) -> (Endpoint, Endpoint) {
        let isOnlyTwin =
            ethernet.route(to: guest.address) == nil && isReachable(twin, beside: guest)
        return isOnlyTwin ? (twin, guest) : (guest, twin)
    }

    /// Asks for the other address of a guest if it is unknown, so that it is known when the first
    /// one refuses: the guest answers in the order of the questions.
    fileprivate func look(for twin: Endpoint) {
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
        _ stream: borrowing OwnedDescriptor,
        _ answered: @escaping (GuestAnswer) -> Void
    ) {
        do {
            open(to: twin, try stream.duplicate(), answered)
        } catch {
            Self.end(.refused, stream, answered)
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
    fileprivate func isReachable(_ twin: Endpoint, beside guest: Endpoint) -> Bool {
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
        var endpoints = (first: guest, second: Endpoint?.none)
        if let twin = twin(of: guest) {
            let (first, second) = order(guest, twin)
            look(for: second)
            endpoints = (first, second)
        }
        return GatewayDatagramPort(endpoints.first, endpoints.second, receiver, of: self)
    }
}

/// A gateway UDP port of the packet engine.
///
/// If the guest reports that nobody listens at its first address, the port moves to the guest's
/// address of the other family, once, and sends its first datagram again. The guest has refused
/// that datagram, so it gets none twice.
private final class GatewayDatagramPort: GuestDatagramPort {
    /// Limit on the first datagram's length; a longer one is repeated by its sender, if at all.
    private static let maximumKept = 2048

    private var number: UInt16
    private var guest: Endpoint
    private weak var engine: PacketEngine?
    private weak var receiver: (any GuestDatagramReceiver)?
    /// The guest's other address; nil once the first one has answered or refused.
    private var otherGuest: Endpoint?
    /// The first datagram, while `otherGuest` may need it.
    private var kept: [UInt8]?

    /// Takes a port; nil if none is free.
    init?(
        _ guest: Endpoint,
        _ otherGuest: Endpoint?,
        _ receiver: any GuestDatagramReceiver,
        of engine: PacketEngine
    ) {
        number = 0
        self.guest = guest
        self.engine = engine
        self.receiver = receiver
        self.otherGuest = otherGuest
        guard open() else { return nil }
    }

    /// Wraps a port that was taken already.
    private init(number: UInt16, guest: Endpoint, engine: PacketEngine) {
        self.number = number
        self.guest = guest
        self.engine = engine
    }

    private func open() -> Bool {
        guard let engine else { return false }
        let port = engine.datagramPorts.open(to: guest) { [weak self] payload, now in
            self?.settle()
            self?.receiver?.receiveFromGuest(payload, now: now)
        } refused: { [weak self] now in
            self?.refused(now: now)
        }
        guard let port else {
            engine.limits.reached(.forwardClients, maximum: GatewayPorts.capacity)
            return false
        }
        number = port
        engine.datagramPorts.watchStrays(of: guest, at: port) {
            [weak self] payload, guestPort, now in
            self?.settle()
            return self?.receiver?.receiveFromGuest(payload, at: guestPort, now: now) ?? false
        }
        return true
    }

    /// The guest has answered: its address is the right one.
    private func settle() {
        guard otherGuest != nil else { return }
        (otherGuest, kept) = (nil, nil)
    }

    private func refused(now: Instant) {
        guard let engine, let otherGuest, engine.isReachable(otherGuest, beside: guest) else {
            receiver?.guestRefused(now: now)
            return
        }
        let datagram = kept
        settle()
        engine.datagramPorts.close(number, guest: guest)
        guest = otherGuest
        guard open() else {
            self.engine = nil
            receiver?.guestRefused(now: now)
            return
        }
        datagram?.withUnsafeBytes { send($0) }
    }

    func send(_ payload: UnsafeRawBufferPointer) {
        guard let engine else { return }
        if otherGuest != nil, kept == nil, payload.count <= Self.maximumKept {
            kept = Array(payload)
        }
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
