import Testing

@testable import RDNetKit

@Suite("UDP packet")
struct UDPPacketTests {
    private let packet = UDPPacket(
        source: Endpoint(address: .anyIPv4, port: 68),
        destination: Endpoint(address: .broadcastIPv4, port: 67),
        payload: [0xab, 0xcd, 0xef]
    )

    @Test func `writes headers with both checksums`() {
        let octets: [UInt8] =
            [0x45, 0x00, 0x00, 0x1f]  // version 4, 5 words; total length 31
            + [0x00, 0x00, 0x00, 0x00]  // identification, fragment
            + [0x40, 0x11, 0x7a, 0xcf]  // TTL 64, UDP, checksum
            + [0, 0, 0, 0]  // source
            + [255, 255, 255, 255]  // destination
            + [0x00, 0x44, 0x00, 0x43]  // ports 68, 67
            + [0x00, 0x0b, 0x64, 0x83]  // length 11, checksum
            + [0xab, 0xcd, 0xef]
        expectBytes(packet.octets, equals: octets)
    }

    @Test func `reads a packet whose UDP checksum is partial, and ignores padding`() throws {
        var octets = packet.octets
        octets[26] ^= 0xff
        octets += [0, 0, 0, 0]
        #expect(try UDPPacket(reading: octets.span.bytes) == packet)
    }

    @Test func `refuses fragments and other protocols`() {
        var fragment = packet.octets
        fragment[6] = 0x20
        fragment[10] = 0x5a
        #expect(throws: PacketError.notThisFormat) { try UDPPacket(reading: fragment.span.bytes) }
        var other = packet.octets
        other[9] = 6
        other[11] = 0xda
        #expect(throws: PacketError.notThisFormat) { try UDPPacket(reading: other.span.bytes) }
    }

    @Test("a truncated packet is refused", arguments: 0..<31)
    func truncatedPacketIsRefused(length: Int) {
        let octets = Array(packet.octets[..<length])
        #expect(throws: PacketError.self) { try UDPPacket(reading: octets.span.bytes) }
    }
}
