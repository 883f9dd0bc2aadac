/// The Ethernet that guests and gateway share: links, a learning switch, neighbors.
///
/// It forwards frames between guests; frames for the gateway go to the engine. Packets
/// from the gateway find their guest's link with `route(to:)`.
///
/// Guests do not trust each other. A MAC address, and an IP address, belongs to the link that used
/// it first until that link closes; a DHCP lease decides before that. The gateway's addresses
/// belong to no guest. A frame with another guest's address is dropped, whatever its destination.
final class VirtualEthernet {
    /// Limit on links.
    static let maximumLinks = 64

    let plan: GatewayPlan
    var bridge: EthernetSwitch
    var neighbors = NeighborTable()
    /// What lies behind guests; changes begin a new epoch.
    private(set) var routers = GuestRouters()
    private var routerEpoch: UInt32 = 0
    /// The guests' IPv6 addresses, only to keep one guest from another's.
    var addressesIPv6 = PortTable<IPAddress, Void>(limit: EthernetSwitch.addressesPerPort)
    /// Returns the MAC address that an address is leased to; set by the owner of the leases.
    var leaseHolder: (IPAddress) -> MACAddress? = { _ in nil }
    /// Called for each address that was forgotten because its link uses too many; set by the
    /// engine.
    var addressReplaced: () -> Void = {}
    /// The time from which a link may be verified again, by port.
    var nextVerification: [Int: Instant] = [:]
    private(set) var links: [(any FrameLink)?] = []
    /// The number of the link at each port; numbers are never reused.
    private(set) var numbers: [Int] = []
    /// When things happened to the link at each port.
    private(set) var histories: [LinkHistory] = []
    private var nextNumber = 0
    /// Records every frame that crosses the gateway's port; nil without a capture.
    var capture: FrameCapture?
    /// Receive a copy of the same frames; empty without a live capture.
    var taps: [any FrameTap] = []
    /// Called for each newly learned address.
    var addressLearned: (MACAddress) -> Void = { _ in }
    /// Called for each address on a closed link.
    var addressForgotten: (MACAddress) -> Void = { _ in }
    /// Called for each guest address with a new MAC address.
    var neighborLearned: (IPAddress, Instant) -> Void = { _, _ in }
    /// Called for each guest address that has moved from one MAC address to another.
    var neighborMoved: (IPAddress) -> Void = { _ in }
    /// Called with all MAC addresses behind a link that has closed.
    var stationsLost: ([MACAddress]) -> Void = { _ in }
    /// Called for each MAC address that is heard on a link for the first time.
    var stationHeard: (MACAddress) -> Void = { _ in }
    /// Called for each frame with an address that the guest must not use.
    var conflict: (AddressConflict) -> Void = { _ in }
    /// Counters of closed links, so that totals never decrease.
    private var closedCounters = LinkCounters()

    init(_ plan: GatewayPlan) {
        self.plan = plan
        bridge = EthernetSwitch(gateway: plan.gatewayMAC)
    }

    // MARK: Links

    /// The attached links.
    var attached: [any FrameLink] { links.compactMap { $0 } }

    /// The attached links with their numbers, which count from 0 in order of attachment.
    var numbered: [(number: Int, link: any FrameLink)] {
        zip(numbers, links).compactMap { number, link in link.map { (number, $0) } }
    }

    /// Every learned address with the number of its link.
    var addresses: [(mac: MACAddress, link: Int)] {
        bridge.entries.map { (mac: $0.mac, link: numbers[$0.port]) }
    }

    /// Whether an address was learned on a link that is still attached.
    func isAttached(_ mac: MACAddress) -> Bool {
        bridge.port(of: mac) != nil
    }

    /// Attaches a link.
    ///
    /// - Parameters:
    ///   - link: Not started yet.
    ///   - now: The turn's clock.
    /// - Returns: Whether there was a free port.
    func attach(_ link: any FrameLink, now: Instant) -> Bool {
        if let index = links.firstIndex(where: { $0 == nil }) {
            links[index] = link
            numbers[index] = nextNumber
            histories[index] = LinkHistory(attached: now)
        } else {
            guard links.count < Self.maximumLinks else { return false }
            links.append(link)
            numbers.append(nextNumber)
            histories.append(LinkHistory(attached: now))
        }
        nextNumber += 1
        return true
    }

    /// Removes a link and every address learned on it.
    func detach(_ link: any FrameLink) {
        guard let port = port(of: link) else { return }
        links[port] = nil
        closedCounters += link.counters
        nextVerification[port] = nil
        neighbors.close(port)
        addressesIPv6.removeAll(on: port)
        let forgotten = bridge.forget(port)
        for address in forgotten { addressForgotten(address) }
        stationsLost(forgotten)
    }

    /// Flushes every link; runs once per turn, so it builds no list.
    func flush(now: Instant) {
        // By index, because a failing link is detached during the loop.
        for index in links.indices {
            let link = links[index]
            link?.flush(now: now)
        }
    }

    /// The traffic of all current and closed links.
    var counters: LinkCounters {
        attached.reduce(into: closedCounters) { $0 += $1.counters }
    }

    @inline(__always)
    private func port(of link: any FrameLink) -> Int? {
        for index in links.indices where links[index] === link { return index }
        return nil
    }

    /// Notes when a link's latest frames arrived, after a batch that may have had none.
    func heard(_ link: any FrameLink, now: Instant) {
        guard let port = port(of: link) else { return }
        histories[port].heard(link.counters.framesReceived, now: now)
    }

    /// The history of an attached link; nil for any other.
    func history(of link: any FrameLink) -> LinkHistory? {
        port(of: link).map { histories[$0] }
    }

    // MARK: Inwards

    /// Where a frame from a guest goes.
    enum Way: Equatable {
        /// To the gateway, and if its destination is a group, to other guests too.
        case gateway
        /// Only to other guests, or nowhere.
        case elsewhere
        /// Nowhere, because a rule forbids it.
        case dropped(DropReason)
    }

    /// Forwards a frame to other guests.
    ///
    /// - Parameters:
    ///   - frame: The received frame.
    ///   - ethernet: Its header.
    ///   - link: The link that received it.
    ///   - now: The turn's clock.
    /// - Returns: Where the frame goes.
    @inline(__always)
    func forward(
        _ frame: Frame,
        _ ethernet: EthernetHeader,
        from link: any FrameLink,
        now: Instant
    ) -> Way {
        guard let port = port(of: link) else { return .dropped(.badSource) }
        let lesson = bridge.learn(ethernet.source, on: port)
        if lesson != .known, let reason = refusal(lesson, ethernet.source, on: port, now: now) {
            return .dropped(reason)
        }
        if ethernet.destination == plan.gatewayMAC, ethernet.kind != EthernetHeader.Kind.arp {
            return .gateway
        }
        return distribute(frame, ethernet, from: port, now: now)
    }

    /// Forwards a frame that is not only for the gateway, or that is ARP.
    private func distribute(
        _ frame: Frame,
        _ ethernet: EthernetHeader,
        from port: Int,
        now: Instant
    ) -> Way {
        // Reserved for the two ends of one link (IEEE 802.1D, 7.12.6), such as offload negotiation.
        if ethernet.destination.rawValue & ~15 == 0x0180_c200_0000 { return .elsewhere }
        if let reason = falseSource(frame, ethernet, on: port, now: now) {
            return .dropped(reason)
        }
        guard let link = links[port] else { return .elsewhere }
        switch bridge.destination(of: ethernet.destination) {
        case .gateway:
            return .gateway
        case .port(let other):
            // Sending it back out of its own port would be a loop (IEEE 802.1D, 7.7.1).
            if other == port { return .elsewhere }
            if plan.isolatesGuests { return .dropped(.isolated) }
            links[other]?.send(described(frame, from: link), .datagram)
            return .elsewhere
        case .flood where plan.isolatesGuests:
            return ethernet.destination.isGroup ? .gateway : .dropped(.isolated)
        case .flood:
            let frame = described(frame, from: link)
            for (other, link) in links.enumerated() where other != port {
                link?.send(frame, .datagram)
            }
            return ethernet.destination.isGroup ? .gateway : .elsewhere
        }
    }

    /// The frame with a header that says what is unfinished about it, whatever link it came from.
    func described(_ frame: Frame, from link: any FrameLink) -> Frame {
        if link.receivesOffloadHeaders { return frame }
        return InferredOffload.frame(frame.octets, mtu: plan.mtu)
    }

    /// Learns a guest's address from its packet.
    ///
    /// - Parameters:
    ///   - address: The packet's source, inside the subnet.
    ///   - mac: The frame's source.
    ///   - now: The turn's clock.
    /// - Returns: Whether the guest may use the address: it belongs to no other link.
    @inline(__always)
    func learn(_ address: IPAddress, mac: MACAddress, now: Instant) -> Bool {
        if neighbors.isLatest(address, mac) { return true }
        // The switch has learned the frame's source before.
        guard let port = bridge.port(of: mac) else { return false }
        return learn(address, mac: mac, on: port, now: now)
    }

    // MARK: Outwards

    /// Incremented with every change of a route.
    var epoch: UInt64 {
        UInt64(bridge.epoch) << 32 | UInt64(neighbors.epoch &+ routerEpoch)
    }

    /// Whether a route is still current.
    @inline(__always)
    func isCurrent(_ route: GuestRoute) -> Bool {
        route.epoch == epoch && !route.link.isClosed
    }

    /// Adds a forward to an address behind a guest; see `GuestRouters`.
    ///
    /// - Returns: Whether the address can be reached: it is outside the subnet, and behind no other
    ///   guest.
    func addForward(to address: IPAddress, behind guest: IPAddress) -> Bool {
        guard plan.mayLieBehindGuest(address), routers.add(address, behind: guest) else {
            return false
        }
        routerEpoch &+= 1
        return true
    }

    /// Removes a forward to an address behind a guest.
    func removeForward(to address: IPAddress) {
        routers.remove(address)
    }

    /// Whether the gateway can connect to an address: a guest's, or one behind a guest.
    func leads(to address: IPAddress) -> Bool {
        plan.isGuest(address) || routers.guest(inFrontOf: address) != nil
    }

    /// Whether an address lies behind the guest that sends from it.
    func isBehind(_ mac: MACAddress, _ address: IPAddress) -> Bool {
        guard let guest = routers.guest(inFrontOf: address) else { return false }
        return neighbors.mac(of: guest) == mac
    }

    /// The port on which a guest is, or the one in front of an address; -1 if it is on none.
    func port(of guest: IPAddress) -> Int {
        neighbors.port(of: routers.neighbor(toward: guest)) ?? -1
    }

    /// Finds a guest, or the one in front of an address; nil if its address is unknown or its link
    /// closed.
    func route(to guest: IPAddress) -> GuestRoute? {
        guard let station = neighbors.station(of: routers.neighbor(toward: guest)),
            let port = bridge.port(of: station.mac), station.port ?? port == port,
            let link = links[port], !link.isClosed
        else { return nil }
        return GuestRoute(link: link, mac: station.mac, epoch: epoch)
    }
}
