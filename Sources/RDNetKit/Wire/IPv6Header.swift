/// The IPv6 header and its extension headers (RFC 8200, 3 and 4).
extension IPHeader {
    /// Numbers of the extension headers that are read (IANA's protocol numbers).
    private enum Extension {
        static let hopByHop: UInt8 = 0
        static let routing: UInt8 = 43
        static let fragment: UInt8 = 44
        static let destination: UInt8 = 60
    }

    /// Codes of a parameter problem (RFC 4443, 3.4).
    private enum Code {
        static let erroneousField: UInt8 = 0
        static let unknownHeader: UInt8 = 1
        static let unknownOption: UInt8 = 2
    }

    /// Limit on extension headers; real packets have one or two (RFC 8504, 5.3).
    private static let maximumExtensions = 8

    /// Reads a header and the extension headers behind it.
    ///
    /// - Throws: `PacketError` when they are cut short, contradict each other, or are too many.
    @inline(__always)
    init(readingIPv6 packet: RawSpan) throws(PacketError) {
        guard packet.byteCount >= Self.lengthIPv6 else {
            throw .truncated(needed: Self.lengthIPv6, available: packet.byteCount)
        }
        let first: UInt32 = packet.bigEndian(at: 0)
        guard first >> 28 == 6 else { throw .notThisFormat }
        let payloadLength = Int(packet.bigEndian(at: 4, as: UInt16.self))
        guard Self.lengthIPv6 + payloadLength <= packet.byteCount else {
            throw .badLength(field: payloadLength, available: packet.byteCount)
        }
        let source = IPAddress(reading: packet, at: 8)
        let destination = IPAddress(reading: packet, at: 24)
        // An IPv4-mapped address never appears on the wire (RFC 4291, 2.5.5.2), and here it would
        // pass for IPv4.
        guard !source.isIPv4, !destination.isIPv4 else { throw .notThisFormat }
        self.init(
            transport: packet.octet(at: 6),
            source: source,
            destination: destination,
            payloadLength: payloadLength
        )
        trafficClass = UInt8(truncatingIfNeeded: first >> 20)
        hopLimit = packet.octet(at: 7)
        if transport != IPProtocol.tcp, transport != IPProtocol.udp {
            try readExtensions(packet)
        }
    }

    private mutating func readExtensions(_ packet: RawSpan) throws(PacketError) {
        let end = Self.lengthIPv6 + payloadLength
        var pointer = 6
        for _ in 0...Self.maximumExtensions {
            switch transport {
            case Extension.hopByHop where pointer != 6:
                // Only the first extension header may be this one (RFC 8200, 4.1).
                complain(Code.unknownHeader, at: pointer)
                return
            case Extension.hopByHop, Extension.destination:
                let length = try extensionLength(packet, end: end)
                readOptions(packet, headerLength + 2..<headerLength + length)
                pointer = skip(packet, length)
            case Extension.routing:
                let length = try extensionLength(packet, end: end)
                // No routing type is known here, so segments left are an error (RFC 8200, 4.4).
                if packet.octet(at: headerLength + 3) != 0 {
                    complain(Code.erroneousField, at: headerLength + 2)
                }
                pointer = skip(packet, length)
            case Extension.fragment:
                guard headerLength + 8 <= end else {
                    throw .truncated(needed: headerLength + 8, available: end)
                }
                let word: UInt16 = packet.bigEndian(at: headerLength + 2)
                fragmentOffset = Int(word & ~7)
                moreFragments = word & 1 != 0
                identification = packet.bigEndian(at: headerLength + 4)
                pointer = skip(packet, 8)
                // The rest is read once the packet is whole.
                if isFragment { return }
            default:
                if case .transport = complaint {
                    complaint = .transport(pointer: UInt16(pointer))
                }
                return
            }
            if case .transport = complaint { continue }
            return
        }
        throw .badLength(field: headerLength, available: end)
    }

    /// Moves past an extension header; returns where the number of the next one is.
    private mutating func skip(_ packet: RawSpan, _ length: Int) -> Int {
        let pointer = headerLength
        transport = packet.octet(at: pointer)
        headerLength += length
        payloadLength -= length
        return pointer
    }

    private func extensionLength(_ packet: RawSpan, end: Int) throws(PacketError) -> Int {
        guard headerLength + 8 <= end else {
            throw .truncated(needed: headerLength + 8, available: end)
        }
        let length = 8 * (Int(packet.octet(at: headerLength + 1)) + 1)
        guard headerLength + length <= end else {
            throw .badLength(field: length, available: end - headerLength)
        }
        return length
    }

    /// Looks at each option; the two highest bits of an unknown one say what to do (RFC 8200, 4.2).
    private mutating func readOptions(_ packet: RawSpan, _ range: Range<Int>) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let kind = packet.octet(at: offset)
            if kind == 0 {
                offset += 1
                continue
            }
            guard offset + 1 < range.upperBound else { break }
            let next = offset + 2 + Int(packet.octet(at: offset + 1))
            guard next <= range.upperBound else { break }
            switch (kind, kind >> 6) {
            case (1, _), (_, 0): break
            case (_, 1): complaint = .silence
            case (_, 2):
                complaint = .problemEvenToGroups(
                    code: Code.unknownOption,
                    pointer: UInt16(offset)
                )
            default: complain(Code.unknownOption, at: offset)
            }
            guard case .transport = complaint else { return }
            offset = next
        }
        // An option that ends behind its header.
        if offset != range.upperBound { complain(Code.erroneousField, at: offset) }
    }

    private mutating func complain(_ code: UInt8, at offset: Int) {
        complaint = .problem(code: code, pointer: UInt16(truncatingIfNeeded: offset))
    }

    /// Writes a header, and a fragment header if it is one of a fragment.
    @inline(__always)
    func writeIPv6(to packet: inout MutableRawSpan) {
        let fragmentLength = isFragment ? 8 : 0
        packet.storeBigEndian(0x6000_0000 | UInt32(trafficClass) << 20, at: 0)
        packet.storeBigEndian(UInt16(truncatingIfNeeded: payloadLength + fragmentLength), at: 4)
        packet.storeOctet(isFragment ? Extension.fragment : transport, at: 6)
        packet.storeOctet(hopLimit, at: 7)
        source.write(to: &packet, at: 8)
        destination.write(to: &packet, at: 24)
        guard isFragment else { return }
        packet.storeBigEndian(UInt16(transport) << 8, at: Self.lengthIPv6)
        let word = UInt16(truncatingIfNeeded: fragmentOffset) | (moreFragments ? 1 : 0)
        packet.storeBigEndian(word, at: Self.lengthIPv6 + 2)
        packet.storeBigEndian(identification, at: Self.lengthIPv6 + 4)
    }
}

extension IPAddress {
    /// Reads the 16 bytes of an IPv6 address.
    @inline(__always)
    init(reading packet: RawSpan, at offset: Int) {
        self.init(high: packet.bigEndian(at: offset), low: packet.bigEndian(at: offset + 8))
    }

    /// Writes the 16 bytes of an IPv6 address.
    @inline(__always)
    func write(to packet: inout MutableRawSpan, at offset: Int) {
        packet.storeBigEndian(high, at: offset)
        packet.storeBigEndian(low, at: offset + 8)
    }
}
