/// The route to a guest: its link and its MAC address.
struct GuestRoute {
    let link: any FrameLink
    let mac: MACAddress
    /// Detects stale routes.
    fileprivate let epoch: UInt64
}

/// The Ethernet that guests and gateway share: links, a learning switch, neighbors.
///
/// It forwards frames between guests; frames for the gateway go to the engine. Packets
/// from the gateway find their guest's link with `route(to:)`.
final class VirtualEthernet {
    /// Limit on links.
    static let maximumLinks = 64

    let plan: GatewayPlan
    private(set) var bridge: EthernetSwitch
    private(set) var neighbors = NeighborTable()
    private var links: [(any FrameLink)?] = []
    /// The number of the link at each port; numbers are never reused.
    private var numbers: [Int] = []
    private var nextNumber = 0
    private var lastIdentification: UInt16 = 0
    /// Records every frame that crosses the gateway's port; nil without a capture.
    var capture: FrameCapture?
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
    /// Called for each MAC address that is heard on a link for the first time: it is new to the
    /// switch, or has moved from another link.
    var stationHeard: (MACAddress, _ isNew: Bool) -> Void = { _, _ in }
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
        if case .port = bridge.destination(of: mac) { true } else { false }
    }

    /// Attaches a link.
    ///
    /// - Parameter link: Not started yet.
    /// - Returns: Whether there was a free port.
    func attach(_ link: any FrameLink) -> Bool {
        if let index = links.firstIndex(where: { $0 == nil }) {
            links[index] = link
            numbers[index] = nextNumber
        } else {
            guard links.count < Self.maximumLinks else { return false }
            links.append(link)
            numbers.append(nextNumber)
        }
        nextNumber += 1
        return true
    }

    /// Removes a link and every address learned on it.
    func detach(_ link: any FrameLink) {
        guard let port = port(of: link) else { return }
        links[port] = nil
        closedCounters += link.counters
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

    // MARK: Inwards

    /// Forwards a frame to other guests and returns whether the gateway receives it too.
    ///
    /// - Parameters:
    ///   - frame: The received frame.
    ///   - ethernet: Its header.
    ///   - link: The link that received it.
    /// - Returns: Whether the gateway receives it; nil if its source is invalid.
    @inline(__always)
    func forward(
        _ frame: Frame,
        _ ethernet: EthernetHeader,
        from link: any FrameLink
    ) -> Bool? {
        guard let port = port(of: link), let lesson = bridge.learn(ethernet.source, on: port)
        else { return nil }
        if lesson != .known { learned(ethernet.source, isNew: lesson == .new) }
        // Reserved for the two ends of one link (IEEE 802.1D, 7.12.6), such as offload negotiation.
        if ethernet.destination.rawValue & ~15 == 0x0180_c200_0000 { return false }
        switch bridge.destination(of: ethernet.destination) {
        case .gateway:
            return true
        case .port(let other):
            // Sending it back out of its own port would be a loop (IEEE 802.1D, 7.7.1).
            if other != port { links[other]?.send(described(frame, from: link), .bulk) }
            return false
        case .flood:
            let frame = described(frame, from: link)
            for (other, link) in links.enumerated() where other != port { link?.send(frame, .bulk) }
            return ethernet.destination.isGroup
        }
    }

    private func learned(_ source: MACAddress, isNew: Bool) {
        if isNew { addressLearned(source) }
        stationHeard(source, isNew)
    }

    /// The frame with a header that says what is unfinished about it, whatever link it came from.
    func described(_ frame: Frame, from link: any FrameLink) -> Frame {
        if link.receivesOffloadHeaders { return frame }
        return InferredOffload.frame(frame.octets, mtu: plan.mtu)
    }

    /// Learns a guest's address from its packet.
    @inline(__always)
    func learn(_ address: IPAddress, mac: MACAddress, now: Instant) {
        let lesson = neighbors.learn(address, mac: mac, now: now)
        guard lesson != .known else { return }
        if lesson == .moved { neighborMoved(address) }
        neighborLearned(address, now)
    }

    // MARK: Outwards

    /// Incremented with every change of a route.
    var epoch: UInt64 { UInt64(bridge.epoch) << 32 | UInt64(neighbors.epoch) }

    /// Whether a route is still current.
    @inline(__always)
    func isCurrent(_ route: GuestRoute) -> Bool {
        route.epoch == epoch && !route.link.isClosed
    }

    /// Finds a guest; nil if its address is unknown or its link closed.
    func route(to guest: IPAddress) -> GuestRoute? {
        guard let mac = neighbors.mac(of: guest),
            case .port(let port) = bridge.destination(of: mac),
            let link = links[port], !link.isClosed
        else { return nil }
        return GuestRoute(link: link, mac: mac, epoch: epoch)
    }

    /// The next packet's IP identification.
    @inline(__always)
    func nextIdentification(_ count: Int = 1) -> UInt16 {
        let first = lastIdentification &+ 1
        lastIdentification &+= UInt16(truncatingIfNeeded: count)
        return first
    }

    /// Broadcasts an ARP request for an address (RFC 826).
    func askFor(_ address: IPAddress) {
        let request = ARPPacket(
            operation: .request,
            senderMAC: plan.gatewayMAC,
            senderAddress: plan.gateway,
            targetMAC: MACAddress(rawValue: 0),
            targetAddress: address
        )
        for link in attached { send(request, to: .broadcast, on: link) }
    }

    /// Sends one ARP packet.
    func send(_ packet: ARPPacket, to destination: MACAddress, on link: any FrameLink) {
        // Padded to the minimum Ethernet frame (IEEE 802.3, 3.2.8), which some drivers require.
        let length = 60
        guard let room = link.reserve(length, .control) else { return }
        room.initializeMemory(as: UInt8.self, repeating: 0)
        let ethernet = EthernetHeader(
            destination: destination,
            source: plan.gatewayMAC,
            kind: EthernetHeader.Kind.arp
        )
        var octets = room.mutableBytes
        ethernet.write(to: &octets)
        let body = UnsafeMutableRawBufferPointer(rebasing: room[EthernetHeader.length...])
        var bodyOctets = body.mutableBytes
        packet.write(to: &bodyOctets)
        commit(length, .finished, room, on: link)
    }

    /// Sends one IP packet, fragmented if it exceeds the MTU.
    ///
    /// - Parameters:
    ///   - header: Its payload length is set here.
    ///   - payload: Transport header and data with a complete checksum.
    ///   - mac: The receiver.
    ///   - link: The receiver's link; nil for every link.
    ///   - priority: Payload must leave room for ACKs and ARP.
    func send(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        to mac: MACAddress,
        on link: (any FrameLink)?,
        _ priority: FramePriority = .bulk
    ) {
        guard let link else {
            for link in attached { send(header, payload, to: mac, on: link, priority) }
            return
        }
        // Fragment boundaries are multiples of eight (RFC 791, 3.2).
        let largest = (plan.mtu - IPv4Header.length) & ~7
        var fragment = header
        fragment.identification = nextIdentification()
        var offset = 0
        repeat {
            var count = payload.count - offset
            if payload.count > plan.mtu - IPv4Header.length { count = min(count, largest) }
            fragment.payloadLength = count
            fragment.fragmentOffset = offset
            fragment.moreFragments = offset + count < payload.count
            let part = UnsafeRawBufferPointer(rebasing: payload[offset..<(offset + count)])
            sendPacket(fragment, part, to: mac, on: link, priority)
            offset += count
        } while offset < payload.count
    }

    private func sendPacket(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        to mac: MACAddress,
        on link: any FrameLink,
        _ priority: FramePriority
    ) {
        let start = EthernetHeader.length + IPv4Header.length
        guard let room = link.reserveOrDrop(start + payload.count, priority) else { return }
        writeHeaders(header, to: mac, room)
        UnsafeMutableRawBufferPointer(rebasing: room[start...]).copyMemory(from: payload)
        commit(start + payload.count, .finished, room, on: link)
    }

    /// Writes the Ethernet and IPv4 headers of a frame.
    @inline(__always)
    func writeHeaders(
        _ header: IPv4Header,
        to mac: MACAddress,
        _ room: UnsafeMutableRawBufferPointer
    ) {
        var octets = room.mutableBytes
        EthernetHeader(
            destination: mac,
            source: plan.gatewayMAC,
            kind: EthernetHeader.Kind.ipv4
        ).write(to: &octets)
        let packet = UnsafeMutableRawBufferPointer(rebasing: room[EthernetHeader.length...])
        var packetOctets = packet.mutableBytes
        header.write(to: &packetOctets)
    }

    /// Commits the frame in a link's reserved room and records it in the capture.
    @inline(__always)
    func commit(
        _ count: Int,
        _ header: VirtioNetHeader,
        _ room: UnsafeMutableRawBufferPointer,
        on link: any FrameLink
    ) {
        if let capture {
            let octets = UnsafeRawBufferPointer(rebasing: room[..<count])
            capture.record(Frame(octets, header))
        }
        link.commit(count, header)
    }
}
