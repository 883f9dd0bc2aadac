/// Which guest may use which address.
extension VirtualEthernet {
    /// How often a link may be verified because another one uses its addresses.
    private static let verificationInterval: Duration = .seconds(1)
    /// The number of addresses per link that a DHCP server respects although they are not leased.
    private static let unleasedAddresses = 64

    // MARK: MAC addresses

    /// Handles what is new about a frame's source.
    ///
    /// - Parameters:
    ///   - lesson: What the switch learned.
    ///   - source: The frame's source.
    ///   - port: The port that received it.
    ///   - now: The turn's clock.
    /// - Returns: Why the frame is dropped; nil if its source is valid.
    func refusal(
        _ lesson: EthernetSwitch.Lesson,
        _ source: MACAddress,
        on port: Int,
        now: Instant
    ) -> DropReason? {
        switch lesson {
        case .known: return nil
        case .invalid: return .badSource
        case .new: break
        case .replacing:
            neighbors.forgetLatest()
            addressReplaced()
        case .taken(let owner):
            // A guest that reconnects may send before the end of its old link is noticed.
            if isOpen(owner, now: now) {
                report(.mac(source), on: port, of: owner)
                return .takenMAC
            }
            return refusal(bridge.learn(source, on: port), source, on: port, now: now)
        }
        addressLearned(source)
        stationHeard(source)
        return nil
    }

    private func report(_ address: AddressConflict.Address, on port: Int, of owner: Int?) {
        conflict(
            AddressConflict(
                address: address,
                link: numbers[port],
                owner: owner.map { numbers[$0] }
            )
        )
    }

    /// Whether a link is open; verifies it, because another link uses its addresses.
    private func isOpen(_ port: Int, now: Instant) -> Bool {
        if let link = links[port], nextVerification[port].map({ $0 <= now }) ?? true {
            nextVerification[port] = now + Self.verificationInterval
            // A link that finds its peer gone is detached before this returns.
            link.verifyPeer(now: now)
        }
        return links[port] != nil
    }

    /// The number of the link that a MAC address was learned on; nil if it is unknown.
    func linkNumber(of mac: MACAddress) -> Int? { bridge.port(of: mac).map { numbers[$0] } }

    /// The link that a MAC address was learned on; nil if it is unknown.
    func link(of mac: MACAddress) -> (any FrameLink)? { bridge.port(of: mac).flatMap { links[$0] } }

    // MARK: IP addresses

    /// Returns why a frame must not reach other guests: its source in ARP or IPv4 is not its
    /// sender's, or only a router may send it; nil if it may.
    func falseSource(
        _ frame: Frame,
        _ ethernet: EthernetHeader,
        on port: Int,
        now: Instant
    ) -> DropReason? {
        let packet = UnsafeRawBufferPointer(rebasing: frame.octets[EthernetHeader.length...])
        switch ethernet.kind {
        case EthernetHeader.Kind.arp:
            do {
                let message = try ARPPacket(reading: packet.bytes)
                return falseSource(message, on: port, now: now)
            } catch {
                return .malformed
            }
        case EthernetHeader.Kind.ipv4:
            // The gateway or the receiver notices a header that is cut short.
            guard packet.count >= IPHeader.lengthIPv4 else { return nil }
            if RouterGuard.refusesIPv4(packet.bytes) { return .routerMessage }
            let address = IPAddress(ipv4: packet.bytes.bigEndian(at: 12))
            return falseSource(address, ethernet.source, on: port, now: now)
        case EthernetHeader.Kind.ipv6:
            return falseIPv6(packet.bytes, ethernet.source, on: port, now: now)
        case EthernetHeader.Kind.taggedFrame:
            // Linux receives a frame of VLAN 0 as if it had no tag (IEEE 802.1Q, 6.7).
            guard packet.count >= 2 else { return .malformed }
            return packet.bytes.bigEndian(at: 0, as: UInt16.self) & 0x0fff == 0
                ? .unknownProtocol : nil
        default:
            return nil
        }
    }

    private func falseIPv6(
        _ packet: RawSpan,
        _ mac: MACAddress,
        on port: Int,
        now: Instant
    ) -> DropReason? {
        // The receiver notices a header that is cut short.
        guard packet.byteCount >= IPHeader.lengthIPv6 else { return nil }
        let meaning = RouterGuard.meaning(ofIPv6: packet)
        if meaning == .refused { return .routerMessage }
        let source = IPAddress(reading: packet, at: 8)
        if !source.isUnspecified, let reason = falseSourceIPv6(source, mac, on: port, now: now) {
            return reason
        }
        guard case .claim(let address) = meaning else { return nil }
        return falseSourceIPv6(address, mac, on: port, now: now)
    }

    private func falseSourceIPv6(
        _ address: IPAddress,
        _ mac: MACAddress,
        on port: Int,
        now: Instant
    ) -> DropReason? {
        if plan.isOwn(address) || plan.isGuest(address) {
            return falseSource(address, mac, on: port, now: now)
        }
        return mayUse(address, on: port, now: now) ? nil : .takenAddress
    }

    /// Whether a guest may use an IPv6 address of no network of the gateway: it is the first one,
    /// or the link of the first one has closed.
    private func mayUse(_ address: IPAddress, on port: Int, now: Instant) -> Bool {
        if let owner = addressesIPv6[address]?.port {
            if owner == port { return true }
            if isOpen(owner, now: now) {
                report(.ip(address), on: port, of: owner)
                return false
            }
        }
        if addressesIPv6.insert(address, (), on: port) != nil { addressReplaced() }
        return true
    }

    private func falseSource(
        _ message: ARPPacket,
        on port: Int,
        now: Instant
    ) -> DropReason? {
        let mac = message.senderMAC
        if mac == plan.gatewayMAC || mac.isGroup { return .badSource }
        if let other = bridge.port(of: mac), other != port {
            report(.mac(mac), on: port, of: other)
            return .takenMAC
        }
        let address = message.senderAddress
        if !plan.isGuest(address), !plan.isOwn(address), !address.isUnspecified,
            neighbors.count(on: port) == 0
        {
            report(.foreign(address), on: port, of: nil)
        }
        return falseSource(address, mac, on: port, now: now)
    }

    private func falseSource(
        _ address: IPAddress,
        _ mac: MACAddress,
        on port: Int,
        now: Instant
    ) -> DropReason? {
        if plan.isOwn(address) { return .badSource }
        guard plan.isGuest(address), !neighbors.isLatest(address, mac) else { return nil }
        return learn(address, mac: mac, on: port, now: now) ? nil : .takenAddress
    }

    /// Learns the address of a guest on a port.
    ///
    /// - Parameters:
    ///   - address: A packet's source, inside the subnet.
    ///   - mac: The MAC address that belongs to it, according to the packet; on no other port.
    ///   - port: The port that received the packet.
    ///   - now: The turn's clock.
    /// - Returns: Whether the guest may use the address.
    func learn(_ address: IPAddress, mac: MACAddress, on port: Int, now: Instant) -> Bool {
        if neighbors.confirms(address, mac: mac, on: port) { return true }
        guard isFree(address, for: mac, on: port, now: now) else { return false }
        // Nobody has sent from a MAC address without a port, so no route can lead to it.
        guard bridge.port(of: mac) == port else { return true }
        let (lesson, isReplacing) = neighbors.learn(address, mac: mac, on: port)
        if isReplacing { addressReplaced() }
        if lesson == .moved { neighborMoved(address) }
        neighborLearned(address, now)
        return true
    }

    /// Whether a guest may use an address: it holds the lease, or nobody else has a claim to it.
    private func isFree(
        _ address: IPAddress,
        for mac: MACAddress,
        on port: Int,
        now: Instant
    ) -> Bool {
        let user = neighbors.port(of: address)
        if user == port { return true }
        // The two addresses of a machine have the same number.
        let holder = leaseHolder(plan.ipv4(matching: address) ?? address)
        let home = holder.flatMap { bridge.port(of: $0) }
        if holder == mac, home == port { return true }
        guard let owner = user ?? home, owner != port else { return true }
        guard isOpen(owner, now: now) else { return true }
        report(.ip(address), on: port, of: owner)
        return false
    }

    /// Whether two addresses of guests, or behind guests, are on one link.
    func areTogether(_ one: IPAddress, _ other: IPAddress) -> Bool {
        let (one, other) = (routers.neighbor(toward: one), routers.neighbor(toward: other))
        guard let port = neighbors.port(of: one) else { return false }
        return port == neighbors.port(of: other)
    }

    // MARK: Leases

    /// Notes that an address was leased; another link that uses it loses it.
    func leased(_ address: IPAddress, to mac: MACAddress) {
        for address in plan.addresses(of: address) {
            guard let user = neighbors.port(of: address), user != bridge.port(of: mac) else {
                continue
            }
            neighbors.forget(address)
        }
    }

    /// Whether another link than this one uses an address.
    ///
    /// A link that uses many addresses may have made them up, so they count for nothing.
    func isUsed(_ address: IPAddress, elsewhereThan number: Int) -> Bool {
        guard let user = neighbors.port(of: address), numbers[user] != number else { return false }
        return neighbors.count(on: user) <= Self.unleasedAddresses
    }
}
