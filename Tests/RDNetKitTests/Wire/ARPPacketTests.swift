import Testing

@testable import RDNetKit

/// Linux's resolution of 192.0.2.1, as `ping` causes it.
@Suite("ARP packet")
struct ARPPacketTests {
    private static let request: WireFields = [
        ("hardware type: Ethernet", "0001"),
        ("protocol type: IPv4", "0800"),
        ("hardware length", "06"),
        ("protocol length", "04"),
        ("operation: request", "0001"),
        ("sender MAC", "0200 5e10 000a"),
        ("sender address", "c000 020a"),
        ("target MAC", "0000 0000 0000"),
        ("target address", "c000 0201"),
    ]
    private static let reply: WireFields = [
        ("hardware type: Ethernet", "0001"),
        ("protocol type: IPv4", "0800"),
        ("hardware length", "06"),
        ("protocol length", "04"),
        ("operation: reply", "0002"),
        ("sender MAC", "0200 5e10 0001"),
        ("sender address", "c000 0201"),
        ("target MAC", "0200 5e10 000a"),
        ("target address", "c000 020a"),
    ]

    private let asking = MACAddress(rawValue: 0x0200_5e10_000a)
    private let answering = MACAddress(rawValue: 0x0200_5e10_0001)

    @Test func `a request is read and written`() throws {
        let read = try ARPPacket(reading: Self.request.octets.span.bytes)
        #expect(read.operation == .request)
        #expect(read.senderMAC == asking)
        #expect(read.senderAddress == IPAddress(ipv4: 0xc000_020a))
        #expect(read.targetMAC == MACAddress(rawValue: 0))
        #expect(read.targetAddress == IPAddress(ipv4: 0xc000_0201))
        expectBytes(written(28) { read.write(to: &$0) }, equals: Self.request)
    }

    @Test func `a reply is read and written`() throws {
        let read = try ARPPacket(reading: Self.reply.octets.span.bytes)
        #expect(read.operation == .reply)
        #expect(read.senderMAC == answering)
        #expect(read.senderAddress == IPAddress(ipv4: 0xc000_0201))
        #expect(read.targetMAC == asking)
        #expect(read.targetAddress == IPAddress(ipv4: 0xc000_020a))
        expectBytes(written(28) { read.write(to: &$0) }, equals: Self.reply)
    }

    @Test func `another operation is kept`() throws {
        let inverse = Self.request.setting("operation: request", to: "0108")
        let read = try ARPPacket(reading: inverse.octets.span.bytes)
        #expect(read.operation == .other(0x108))
        expectBytes(written(28) { read.write(to: &$0) }, equals: inverse)
    }

    @Test(
        "another kind of network is refused",
        arguments: [
            ("hardware type: Ethernet", "0006"), ("protocol type: IPv4", "86dd"),
            ("hardware length", "08"), ("protocol length", "10"),
        ]
    )
    func other(field: String, value: String) {
        let octets = Self.request.setting(field, to: value).octets
        #expect(throws: PacketError.notThisFormat) { try ARPPacket(reading: octets.span.bytes) }
    }

    @Test("a short packet is refused", arguments: 0..<28)
    func short(length: Int) {
        let octets = Array(Self.request.octets.prefix(length))
        #expect(throws: PacketError.truncated(needed: 28, available: length)) {
            try ARPPacket(reading: octets.span.bytes)
        }
    }
}
