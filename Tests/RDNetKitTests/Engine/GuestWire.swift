@testable import RDNetKit

/// The formats as the scripted and simulated guests read and write them.
///
/// They are written from the RFCs and share no code with the product's `Wire`, so that a number or
/// an offset that is wrong there cannot be right on both ends. Addresses and sequence numbers are
/// the product's values.
enum GuestWire {
    /// IP protocol numbers (IANA).
    enum Transport {
        static let icmp: UInt8 = 1
        static let tcp: UInt8 = 6
        static let udp: UInt8 = 17
    }

    /// Ethernet's types (IEEE 802 numbers).
    enum EtherType {
        static let ipv4 = 0x0800
        static let arp = 0x0806
    }

    static let ethernetLength = 14

    /// A number of some octets, the highest first.
    static func octets(_ number: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * (count - 1 - $0))) }
    }

    /// The number in some octets, the highest first.
    static func number(_ octets: some Collection<UInt8>, _ offset: Int, _ count: Int) -> Int {
        octets.dropFirst(offset).prefix(count).reduce(0) { $0 * 256 + Int($1) }
    }

    static func address(_ octets: some Collection<UInt8>, _ offset: Int) -> IPAddress {
        IPAddress(ipv4: UInt32(number(octets, offset, 4)))
    }

    static func mac(_ octets: some Collection<UInt8>, _ offset: Int) -> MACAddress {
        MACAddress(rawValue: UInt64(number(octets, offset, 6)))
    }

    /// Throws unless a message has as many octets as its fixed part.
    static func demand(_ count: Int, of octets: some Collection<UInt8>) throws {
        guard octets.count >= count else {
            throw ScriptError(description: "\(octets.count) octets where \(count) are the least")
        }
    }

    /// An Ethernet header and what follows.
    static func frame(
        to destination: MACAddress,
        from source: MACAddress,
        _ type: Int,
        _ payload: [UInt8]
    ) -> [UInt8] {
        octets(Int(destination.rawValue), 6) + octets(Int(source.rawValue), 6) + octets(type, 2)
            + payload
    }

    /// The type of a frame.
    static func type(of frame: [UInt8]) throws -> Int {
        try demand(ethernetLength, of: frame)
        return number(frame, 12, 2)
    }
}

// MARK: ARP

extension GuestWire {
    /// An ARP packet for IPv4 over Ethernet (RFC 826).
    struct ARP: Equatable {
        struct Operation: Equatable {
            var number: Int

            static let request = Operation(number: 1)
            static let reply = Operation(number: 2)
            static func other(_ number: Int) -> Operation { Operation(number: number) }
        }

        var operation: Operation
        var senderMAC: MACAddress
        var senderAddress: IPAddress
        var targetMAC: MACAddress
        var targetAddress: IPAddress

        var octets: [UInt8] {
            [0, 1, 8, 0, 6, 4] + GuestWire.octets(operation.number, 2)
                + GuestWire.octets(Int(senderMAC.rawValue), 6) + senderAddress.octets
                + GuestWire.octets(Int(targetMAC.rawValue), 6) + targetAddress.octets
        }
    }
}

extension GuestWire.ARP {
    init(reading octets: [UInt8]) throws {
        try GuestWire.demand(28, of: octets)
        guard Array(octets.prefix(6)) == [0, 1, 8, 0, 6, 4] else {
            throw ScriptError(description: "ARP for another network")
        }
        self.init(
            operation: Operation(number: GuestWire.number(octets, 6, 2)),
            senderMAC: GuestWire.mac(octets, 8),
            senderAddress: GuestWire.address(octets, 14),
            targetMAC: GuestWire.mac(octets, 18),
            targetAddress: GuestWire.address(octets, 24)
        )
    }
}

// MARK: IPv4

extension GuestWire {
    /// An IPv4 header (RFC 791), written without options.
    struct IPv4: Equatable {
        var transport: UInt8
        var source: IPAddress
        var destination: IPAddress
        var payloadLength: Int
        var headerLength = 20
        var typeOfService: UInt8 = 0
        var identification: UInt16 = 0
        var dontFragment = false
        var moreFragments = false
        /// In octets.
        var fragmentOffset = 0
        var timeToLive: UInt8 = 64

        /// Header with its checksum.
        var octets: [UInt8] {
            let place =
                (dontFragment ? 1 << 14 : 0) + (moreFragments ? 1 << 13 : 0) + fragmentOffset / 8
            var header = [0x45, typeOfService] + GuestWire.octets(20 + payloadLength, 2)
            header += GuestWire.octets(Int(identification), 2) + GuestWire.octets(place, 2)
            header += [timeToLive, transport, 0, 0] + source.octets + destination.octets
            PlainChecksum.store(PlainChecksum.of(header), in: &header, at: 10)
            return header
        }
    }
}

extension GuestWire.IPv4 {
    init(reading packet: some Collection<UInt8>) throws {
        try GuestWire.demand(20, of: packet)
        let word = GuestWire.number(packet, 0, 4)
        guard word >> 28 == 4 else { throw ScriptError(description: "IPv4 of another version") }
        let place = GuestWire.number(packet, 6, 2)
        let header = (word >> 24 & 15) * 4
        self.init(
            transport: UInt8(GuestWire.number(packet, 9, 1)),
            source: GuestWire.address(packet, 12),
            destination: GuestWire.address(packet, 16),
            payloadLength: (word & 0xffff) - header,
            headerLength: header,
            typeOfService: UInt8(word >> 16 & 0xff),
            identification: UInt16(GuestWire.number(packet, 4, 2)),
            dontFragment: place & 1 << 14 != 0,
            moreFragments: place & 1 << 13 != 0,
            fragmentOffset: (place & 0x1fff) * 8,
            timeToLive: UInt8(GuestWire.number(packet, 8, 1))
        )
        guard payloadLength >= 0, header + payloadLength <= packet.count else {
            throw ScriptError(description: "an IPv4 packet of \(payloadLength) octets, cut")
        }
    }
}

// MARK: UDP

extension GuestWire {
    /// A UDP header (RFC 768).
    struct UDP: Equatable {
        var sourcePort: UInt16
        var destinationPort: UInt16
        var payloadLength: Int
        var checksum: UInt16 = 0

        var octets: [UInt8] {
            [Int(sourcePort), Int(destinationPort), 8 + payloadLength, Int(checksum)].flatMap {
                GuestWire.octets($0, 2)
            }
        }
    }
}

extension GuestWire.UDP {
    init(reading datagram: [UInt8]) throws {
        try GuestWire.demand(8, of: datagram)
        let words = (0..<4).map { GuestWire.number(datagram, 2 * $0, 2) }
        self.init(
            sourcePort: UInt16(words[0]),
            destinationPort: UInt16(words[1]),
            payloadLength: words[2] - 8,
            checksum: UInt16(words[3])
        )
    }
}

// MARK: ICMP

extension GuestWire {
    /// An ICMP header (RFC 792): type, code, checksum, and four octets that depend on the type.
    struct ICMP: Equatable {
        struct Kind: Equatable {
            var type: UInt8
            var code: UInt8

            static let echoReply = Kind(type: 0, code: 0)
            static let echoRequest = Kind(type: 8, code: 0)
            static func destinationUnreachable(_ reason: Unreachable) -> Kind {
                Kind(type: 3, code: reason.rawValue)
            }
            static func timeExceeded(code: UInt8) -> Kind { Kind(type: 11, code: code) }
            static func parameterProblem(code: UInt8) -> Kind { Kind(type: 12, code: code) }
            static func other(type: UInt8, code: UInt8) -> Kind { Kind(type: type, code: code) }
        }

        enum Unreachable: UInt8, Sendable {
            case network = 0
            case host = 1
            case transport = 2
            case port = 3
            case fragmentationNeeded = 4
            case administrativelyProhibited = 13
        }

        var kind: Kind
        /// Identifier and sequence number, or the next-hop MTU.
        var rest: UInt32

        /// The message with its checksum.
        func octets(_ data: [UInt8]) -> [UInt8] {
            var message = [kind.type, kind.code, 0, 0] + GuestWire.octets(Int(rest), 4) + data
            PlainChecksum.store(PlainChecksum.of(message), in: &message, at: 2)
            return message
        }
    }
}

extension GuestWire.ICMP {
    init(reading message: [UInt8]) throws {
        try GuestWire.demand(8, of: message)
        kind = Kind(type: message[0], code: message[1])
        rest = UInt32(GuestWire.number(message, 4, 4))
    }
}
