import Testing

@testable import RDNetKit

@Suite("DHCP message")
struct DHCPMessageTests {
    /// A request as gvforwarder's udhcpc sends it.
    static let discover: [UInt8] =
        [0x01]  // op: BOOTREQUEST
        + [0x01, 0x06]  // htype: Ethernet; hlen: 6
        + [0x00]  // hops
        + [0x12, 0x34, 0x56, 0x78]  // xid
        + [0x00, 0x05]  // secs
        + [0x80, 0x00]  // flags: broadcast
        + [0, 0, 0, 0]  // ciaddr
        + [0, 0, 0, 0]  // yiaddr
        + [0, 0, 0, 0]  // siaddr
        + [0, 0, 0, 0]  // giaddr
        + [0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee]  // chaddr
        + [UInt8](repeating: 0, count: 10)  // chaddr, rest
        + [UInt8](repeating: 0, count: 64)  // sname
        + [UInt8](repeating: 0, count: 128)  // file
        + [0x63, 0x82, 0x53, 0x63]  // magic cookie
        + [0x35, 0x01, 0x01]  // 53: DHCPDISCOVER
        + [0x00, 0x00]  // pad
        + [0x3d, 0x07, 0x01, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee]  // 61: client identifier
        + [0x32, 0x04, 192, 168, 127, 2]  // 50: requested address
        + [0xe0, 0x02, 0xca, 0xfe]  // 224: site specific
        + [0xff]  // end

    @Test func `reads every field`() throws {
        let message = try DHCPMessage(reading: Self.discover.span.bytes)
        #expect(message.operation == .request)
        #expect(message.type == .discover)
        #expect(message.transactionID == 0x1234_5678)
        #expect(message.seconds == 5)
        #expect(message.wantsBroadcast)
        #expect(message.hardwareAddress.description == "5a:94:ef:e4:0c:ee")
        #expect(message.options.address(.requestedAddress)?.description == "192.168.127.2")
        #expect(message.options[.clientIdentifier]?.count == 7)
        #expect(message.options[DHCPOptionCode(rawValue: 224)] == [0xca, 0xfe])
        #expect(message.options.codes.map(\.rawValue) == [50, 53, 61, 224])
    }

    @Test func `writes options in ascending order and pads to 300 octets`() throws {
        let message = try DHCPMessage(reading: Self.discover.span.bytes)
        let octets = message.octets
        #expect(octets.count == 300)
        expectBytes(octets[..<240], equals: Self.discover[..<240])
        let options: [UInt8] =
            [0x32, 0x04, 192, 168, 127, 2]  // 50
            + [0x35, 0x01, 0x01]  // 53
            + [0x3d, 0x07, 0x01, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee]  // 61
            + [0xe0, 0x02, 0xca, 0xfe]  // 224
            + [0xff]  // end
        expectBytes(octets[240..<(240 + options.count)], equals: options)
        #expect(octets[(240 + options.count)...].allSatisfy { $0 == 0 })
        #expect(try DHCPMessage(reading: octets.span.bytes) == message)
    }

    @Test("a short message is refused, never read past its end", arguments: 0..<240)
    func shortMessageIsRefused(length: Int) {
        let octets = Array(Self.discover[..<length])
        #expect(throws: PacketError.truncated(needed: 240, available: length)) {
            try DHCPMessage(reading: octets.span.bytes)
        }
    }

    @Test(
        "another format is refused",
        arguments: [
            (0, 3, "op of neither direction"), (1, 6, "token ring"), (2, 8, "address of 8 octets"),
            (236, 0, "no magic cookie"),
        ] as [(Int, UInt8, String)]
    )
    func otherFormatIsRefused(offset: Int, value: UInt8, why: String) {
        var octets = Self.discover
        octets[offset] = value
        #expect(throws: PacketError.notThisFormat, "\(why)") {
            try DHCPMessage(reading: octets.span.bytes)
        }
    }

    @Test(
        "an option that reaches beyond the message is refused",
        arguments: [[0x35, 0x02, 0x01], [0x35], [0x00, 0x0c, 0xff]] as [[UInt8]]
    )
    func overlongOptionIsRefused(options: [UInt8]) {
        let octets = Self.discover[..<240] + options
        #expect(throws: PacketError.self) { try DHCPMessage(reading: Array(octets).span.bytes) }
    }

    @Test func `a message without an end option is read to its end`() throws {
        let octets = Array(Self.discover[..<240] + [0x35, 0x01, 0x03])
        #expect(try DHCPMessage(reading: octets.span.bytes).type == .request)
    }

    @Test func `RFC 2132 9.3: options in file and sname are read when option 52 says so`() throws {
        var octets = Self.discover[..<240] + [0x34, 0x01, 0x03, 0x0c, 0x01, 0x61, 0xff]
        octets.replaceSubrange(108..<113, with: [0x0c, 0x02, 0x62, 0x63, 0xff])  // file: host name
        octets.replaceSubrange(44..<48, with: [0x0c, 0x01, 0x64, 0xff])  // sname: its last part
        let message = try DHCPMessage(reading: Array(octets).span.bytes)
        // RFC 3396, section 5: options field, then file, then sname.
        #expect(message.options[.hostName] == Array("abcd".utf8))
        #expect(message.options[.overload] == nil)
        #expect(message.bootFile.isEmpty)
        #expect(message.serverName.isEmpty)
    }

    @Test func `an overload option inside an overloaded field is no option of the message`() throws
    {
        var octets = DHCPMessage(.ack, transactionID: 1, hardwareAddress: .broadcast).octets
        octets.replaceSubrange(240..., with: [53, 1, 5, 52, 1, 1, 255])
        octets.replaceSubrange(108..<112, with: [52, 1, 2, 255])
        let message = try DHCPMessage(reading: octets.span.bytes)
        #expect(message.options.codes == [.messageType])
    }

    @Test func `RFC 3396: a long option is written in pieces and read as one`() throws {
        var message = DHCPMessage(
            .ack,
            transactionID: 1,
            hardwareAddress: MACAddress(rawValue: 2)
        )
        let value = (0..<600).map { UInt8(truncatingIfNeeded: $0) }
        message.options[.domainSearch] = value
        let octets = message.octets
        let pieces = octets.indices.dropFirst(240).filter {
            octets[$0] == 119 && octets[$0 + 1] == 255
        }
        #expect(pieces.count >= 2)
        #expect(try DHCPMessage(reading: octets.span.bytes).options[.domainSearch] == value)
    }

    @Test func `an empty option keeps its length of zero`() throws {
        var message = DHCPMessage(.inform, transactionID: 1, hardwareAddress: .broadcast)
        message.options[DHCPOptionCode(rawValue: 80)] = []
        let read = try DHCPMessage(reading: message.octets.span.bytes)
        #expect(read.options[DHCPOptionCode(rawValue: 80)] == [])
    }

    @Test("random octets are read or refused, and what is read can be written", arguments: 0..<50)
    func randomOctetsAreSafe(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        for _ in 0..<200 {
            var octets = Self.discover
            let tail = Int.random(in: 0...600, using: &random)
            octets += (0..<tail).map { _ in UInt8.random(in: 0...255, using: &random) }
            for _ in 0..<Int.random(in: 0...20, using: &random) {
                let offset = Int.random(in: 0..<octets.count, using: &random)
                octets[offset] = UInt8.random(in: 0...255, using: &random)
            }
            octets.removeLast(Int.random(in: 0..<octets.count, using: &random))
            guard let message = try? DHCPMessage(reading: octets.span.bytes) else { continue }
            #expect(try DHCPMessage(reading: message.octets.span.bytes) == message, "seed \(seed)")
        }
    }
}

/// A small generator with a seed (Steele, Lea, Flood: SplitMix64).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
