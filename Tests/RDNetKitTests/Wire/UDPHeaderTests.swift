import Testing

@testable import RDNetKit

/// A datagram with the text `hi` and a newline, from netcat on Linux.
@Suite("UDP header")
struct UDPHeaderTests {
    static let packet: WireFields = [
        ("version and header length", "45"),
        ("DSCP and ECN", "00"),
        ("total length", "001f"),
        ("identification", "6a96"),
        ("flags and fragment offset: DF", "4000"),
        ("TTL", "40"),
        ("protocol: UDP", "11"),
        ("header checksum", "e3ee"),
        ("source", "c000 020a"),
        ("destination", "c633 640b"),
        ("source port", "a793"),
        ("destination port", "0009"),
        ("length", "000b"),
        ("checksum", "f988"),
        ("payload", "6869 0a"),
    ]
    private static let datagram = packet.from("source port")

    @Test func `is read and written as Linux writes it`() throws {
        let read = try UDPHeader(reading: Self.datagram.octets.span.bytes)
        #expect(read.sourcePort == 0xa793)
        #expect(read.destinationPort == 9)
        #expect(read.payloadLength == 3)
        #expect(read.checksum == 0xf988)
        let octets = written(8) { read.write(to: &$0) }
        expectBytes(octets, equals: Self.datagram.octets.prefix(8), fields: Self.datagram)
    }

    @Test(
        "a length below the header or beyond the packet is refused",
        arguments: [("0007", 7), ("000c", 12), ("ffff", 65_535)]
    )
    func badLength(value: String, length: Int) {
        let octets = Self.datagram.setting("length", to: value).octets
        #expect(throws: PacketError.badLength(field: length, available: 11)) {
            try UDPHeader(reading: octets.span.bytes)
        }
    }

    @Test func `octets behind its length are no payload`() throws {
        let octets = Self.datagram.setting("length", to: "0009").octets
        #expect(try UDPHeader(reading: octets.span.bytes).payloadLength == 1)
    }

    @Test("a header cut short is refused", arguments: 0..<8)
    func short(length: Int) {
        let octets = Array(Self.datagram.octets.prefix(length))
        #expect(throws: PacketError.truncated(needed: 8, available: length)) {
            try UDPHeader(reading: octets.span.bytes)
        }
    }

    @Test func `a whole packet is read, with the ports at their addresses`() throws {
        let read = try UDPPacket(reading: Self.packet.octets.span.bytes)
        #expect(read.source == Endpoint(address: IPAddress(ipv4: 0xc000_020a), port: 0xa793))
        #expect(read.destination == Endpoint(address: IPAddress(ipv4: 0xc633_640b), port: 9))
        expectBytes(read.payload, equals: [0x68, 0x69, 0x0a])
    }

    @Test func `a whole packet is written with Linux's UDP checksum`() throws {
        let read = try UDPPacket(reading: Self.packet.octets.span.bytes)
        // Identification and DF are not the packet's to keep.
        let expected = Self.packet.setting("identification", to: "0000")
            .setting("flags and fragment offset: DF", to: "0000")
            .setting("header checksum", to: "8e85")
        expectBytes(read.octets, equals: expected)
    }

    @Test func `a checksum of zero is written as all ones (RFC 768)`() {
        // The two octets that make the sum 0xffff.
        let packet = UDPPacket(
            source: Endpoint(address: IPAddress(ipv4: 0xc000_020a), port: 0xa793),
            destination: Endpoint(address: IPAddress(ipv4: 0xc633_640b), port: 9),
            payload: [0x6b, 0xf4]
        )
        expectBytes(packet.octets[26..<28], equals: [0xff, 0xff])
    }
}
