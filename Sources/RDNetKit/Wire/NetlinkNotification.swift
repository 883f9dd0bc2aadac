/// What rtnetlink's messages say about interfaces, addresses and routes.
extension NetlinkMessage {
    /// The table of a route message; nil for a short one.
    var routingTable: UInt32? {
        guard body.count >= 12 else { return nil }
        // The attribute overrides the field, which has room for 255 tables only.
        return integer(NetlinkAttribute.Route.table, after: 12) ?? UInt32(body[4])
    }

    /// The address that an address message is about; nil if it has none of a known length.
    var interfaceAddress: IPAddress? {
        // On a point-to-point interface, IFA_ADDRESS is the peer's address.
        address(NetlinkAttribute.Address.local, after: 8)
            ?? address(NetlinkAttribute.Address.address, after: 8)
    }

    /// Whether an address message is about an IPv6 address that the kernel formed itself:
    /// link-local, or with a lifetime as a router advertisement says.
    var isKernelsAddress: Bool {
        guard body.count >= 4, body[0] == NetlinkFamily.ipv6.rawValue else { return false }
        // RT_SCOPE_LINK, and IFA_F_PERMANENT, which addresses without a lifetime have.
        return body[3] == 253 || body[2] & 0x80 == 0
    }

    /// Whether an address message is about an IPv6 address that is a lasting name of its host in
    /// any network: neither link-local nor temporary, deprecated, or not known to be unique yet.
    var isLastingAddress: Bool {
        guard body.count >= 4, body[0] == NetlinkFamily.ipv6.rawValue else { return false }
        // RT_SCOPE_UNIVERSE; IFA_F_TEMPORARY, _DADFAILED, _DEPRECATED and _TENTATIVE.
        return body[3] == 0 && body[2] & 0x69 == 0
    }

    /// Whether a notification may concern an interface's state, addresses and routes, or a default
    /// route.
    func mayConcern(link index: UInt32) -> Bool {
        switch type {
        case NetlinkType.newLink, NetlinkType.deleteLink, NetlinkType.newAddress,
            NetlinkType.deleteAddress:
            link == index
        case NetlinkType.newRoute, NetlinkType.deleteRoute:
            prefixLength == 0
                || integer(NetlinkAttribute.Route.outputInterface, after: 12) == index
        default:
            false
        }
    }

    /// The value of the first attribute of a kind as an integer; nil if it has another length.
    func integer(_ kind: UInt16, after fixedLength: Int) -> UInt32? {
        guard let octets = attribute(kind, after: fixedLength), octets.count == 4 else {
            return nil
        }
        // Sound: every bit pattern is an integer, and the count is its size.
        return octets.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
    }

    /// The value of the first attribute of a kind as an IP address; nil if it has another length.
    func address(_ kind: UInt16, after fixedLength: Int) -> IPAddress? {
        guard let octets = attribute(kind, after: fixedLength) else { return nil }
        let bytes = octets.span.bytes
        switch bytes.byteCount {
        case 4: return IPAddress(ipv4: bytes.bigEndian(at: 0))
        case 16: return IPAddress(high: bytes.bigEndian(at: 0), low: bytes.bigEndian(at: 8))
        default: return nil
        }
    }
}
