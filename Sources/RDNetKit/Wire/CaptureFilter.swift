/// Which frames a capture contains: conditions joined by `and`, in tcpdump's words.
///
/// `host ADDRESS`, `ether host MAC`, `port NUMBER`, and `arp`, `ip`, `ip6`, `tcp`, `udp` or `icmp`,
/// which also stands for ICMPv6. An address or a MAC alone stands for its host.
struct CaptureFilter: Equatable {
    private enum Condition: Equatable {
        case host(IPAddress)
        case station(MACAddress)
        case port(UInt16)
        case kind(UInt16)
        case transports([UInt8])
    }

    private var conditions: [Condition]

    /// The filter that every frame matches.
    static var everything: CaptureFilter { CaptureFilter(conditions: []) }

    private init(conditions: [Condition]) {
        self.conditions = conditions
    }

    /// Whether every frame matches.
    var isEmpty: Bool { conditions.isEmpty }

    /// Parses a filter; an empty text matches every frame.
    ///
    /// - Throws: `CaptureFilterError` with what was expected.
    init(_ text: String) throws(CaptureFilterError) {
        var words = text.split { $0 == " " || $0 == "\t" }.map { $0.lowercased() }[...]
        conditions = []
        guard !words.isEmpty else { return }
        while true {
            conditions.append(try Self.condition(&words))
            guard let word = words.popFirst() else { return }
            guard word == "and" || word == "&&" else { throw CaptureFilterError(word: word) }
        }
    }

    private static func condition(
        _ words: inout ArraySlice<String>
    ) throws(CaptureFilterError) -> Condition {
        let word = words.popFirst() ?? ""
        switch word {
        case "arp": return .kind(EthernetHeader.Kind.arp)
        case "ip": return .kind(EthernetHeader.Kind.ipv4)
        case "ip6": return .kind(EthernetHeader.Kind.ipv6)
        case "tcp": return .transports([IPProtocol.tcp])
        case "udp": return .transports([IPProtocol.udp])
        case "icmp": return .transports([IPProtocol.icmp, IPProtocol.icmpIPv6])
        case "port":
            let number = words.popFirst() ?? ""
            guard let port = UInt16(number) else { throw CaptureFilterError(word: number) }
            return .port(port)
        case "ether":
            guard words.popFirst() == "host" else { throw CaptureFilterError(word: word) }
            return try host(words.popFirst() ?? "")
        case "host": return try host(words.popFirst() ?? "")
        default: return try host(word)
        }
    }

    private static func host(_ word: String) throws(CaptureFilterError) -> Condition {
        if let address = IPAddress(word) { return .host(address) }
        if let mac = MACAddress(word) { return .station(mac) }
        throw CaptureFilterError(word: word)
    }

    /// Whether a frame matches all conditions.
    func matches(_ frame: RawSpan) -> Bool {
        conditions.isEmpty
            || Subject(frame).map { subject in
                conditions.allSatisfy { subject.meets($0) }
            } ?? false
    }

    /// What a frame says of itself.
    private struct Subject {
        var ethernet: EthernetHeader
        var addresses: (IPAddress, IPAddress)?
        var transport: UInt8?
        var ports: (UInt16, UInt16)?

        /// Reads a frame; nil if it has no Ethernet header.
        init?(_ frame: RawSpan) {
            do {
                ethernet = try EthernetHeader(reading: frame)
            } catch {
                return nil
            }
            do {
                try read(frame.extracting(droppingFirst: EthernetHeader.length))
            } catch {
                // A packet that cannot be read meets no condition about it.
            }
        }

        private mutating func read(_ content: RawSpan) throws(PacketError) {
            let header: IPHeader
            switch ethernet.kind {
            case EthernetHeader.Kind.arp:
                let packet = try ARPPacket(reading: content)
                addresses = (packet.senderAddress, packet.targetAddress)
                return
            case EthernetHeader.Kind.ipv4: header = try IPHeader(readingIPv4: content)
            case EthernetHeader.Kind.ipv6: header = try IPHeader(readingIPv6: content)
            default: return
            }
            addresses = (header.source, header.destination)
            transport = header.transport
            let start = header.headerLength
            guard header.fragmentOffset == 0, content.byteCount >= start + 4,
                header.transport == IPProtocol.tcp || header.transport == IPProtocol.udp
            else { return }
            ports = (content.bigEndian(at: start), content.bigEndian(at: start + 2))
        }

        func meets(_ condition: Condition) -> Bool {
            switch condition {
            case .host(let address): addresses.map { $0 == address || $1 == address } ?? false
            case .station(let mac): ethernet.source == mac || ethernet.destination == mac
            case .port(let port): ports.map { $0 == port || $1 == port } ?? false
            case .kind(let kind): ethernet.kind == kind
            case .transports(let numbers): transport.map(numbers.contains) ?? false
            }
        }
    }
}

/// A capture filter that is not valid.
struct CaptureFilterError: Error, Equatable, CustomStringConvertible {
    /// The word that was not expected; empty if one is missing.
    let word: String

    var description: String {
        (word.isEmpty ? "the filter is incomplete" : "\"\(word)\" is not valid")
            + "; expected conditions joined by and: host ADDRESS, ether host MAC, port NUMBER, arp, "
            + "ip, ip6, tcp, udp, icmp"
    }
}
