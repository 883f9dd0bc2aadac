/// The packet of a guest's SYN, for a quotation in an ICMP error; a flow keeps it while it is
/// connecting.
final class OpeningPacket {
    /// The longest TCP header.
    private static let maximumSegment = 60

    let header: IPHeader
    /// TCP header and options.
    let segment: [UInt8]

    /// Copies a packet.
    init(_ header: IPHeader, _ segment: UnsafeRawBufferPointer) {
        self.header = header
        self.segment = Array(segment.prefix(Self.maximumSegment))
    }

    /// The same SYN, sent again in another packet.
    init(_ header: IPHeader, repeating first: OpeningPacket) {
        self.header = header
        segment = first.segment
    }

    /// The segment as an ICMP error quotes it: with its checksum, which the guest may have left to
    /// its network card.
    var quote: [UInt8] {
        let field = 16
        guard segment.count == header.payloadLength, segment.count >= field + 2 else {
            return segment
        }
        var octets = segment
        (octets[field], octets[field + 1]) = (0, 0)
        let sum = octets.withUnsafeBytes { header.checksum(of: $0) }
        octets[field] = UInt8(truncatingIfNeeded: sum >> 8)
        octets[field + 1] = UInt8(truncatingIfNeeded: sum)
        return octets
    }

    /// How the packet travels from here.
    var path: PathOptions { PathOptions(forwarding: header) }
}

extension TCPFlow {
    /// A repeated SYN: the host socket goes on with its hop limit.
    ///
    /// traceroute programs send SYNs with rising hop limits from one port.
    func reopen(_ header: IPHeader) {
        guard phase == .connecting, let opening, header.hopLimit != opening.header.hopLimit
        else { return }
        var latest = opening.header
        latest.hopLimit = header.hopLimit
        latest.identification = header.identification
        self.opening = OpeningPacket(latest, repeating: opening)
        switch stream {
        case .some(let stream):
            Socket.setHopLimit(
                PathOptions(forwarding: header).hopLimit,
                isIPv4: header.isIPv4,
                on: stream.descriptor
            )
        case .none: break
        }
    }

    /// The ICMP error that ended the connection attempt, if there was one.
    ///
    /// The kernel keeps it from Linux 5.8 on. A reset leaves none.
    var connectError: QueuedError? {
        // What the error quotes is the host's own SYN, which the guest does not know.
        var quoted: UInt64 = 0
        return withUnsafeMutableBytes(of: &quoted) { quoted in
            switch stream {
            case .some(let stream):
                Socket.reportHopLimits(
                    true,
                    isIPv4: key.guest.address.isIPv4,
                    on: stream.descriptor
                )
                guard case .error(let error) = QueuedError.next(on: stream.descriptor, into: quoted)
                else { return nil }
                return error
            case .none: return nil
            }
        }
    }
}

extension TCPFlows {
    /// Reports to a guest by ICMP why its SYN leads nowhere.
    ///
    /// - Parameters:
    ///   - flow: Still connecting.
    ///   - error: The ICMP error that ended the attempt; nil for none.
    ///   - code: The host's errno.
    /// - Returns: False when a reset says it better.
    func reportUnreachable(_ flow: TCPFlow, _ error: QueuedError?, errno code: Int32) -> Bool {
        guard let opening = flow.opening else { return false }
        if let error {
            path.report(GuestError(error, about: opening.header, opening.quote))
            return true
        }
        guard let reason = QueuedError.unreachable(errno: code) else { return false }
        let kind = ICMPMessage.Kind.destinationUnreachable(reason)
        path.report(GuestError(kind, about: opening.header, opening.quote))
        return true
    }
}
