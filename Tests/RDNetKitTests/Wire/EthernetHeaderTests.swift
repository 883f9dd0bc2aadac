import Testing

@testable import RDNetKit

/// The frames are Linux's, between two veth interfaces.
@Suite("Ethernet header")
struct EthernetHeaderTests {
    private static let header: WireFields = [
        ("destination", "0200 5e10 0001"),
        ("source", "0200 5e10 000a"),
        ("EtherType", "0800"),
    ]

    @Test func `is read and written as Linux writes it`() throws {
        let read = try EthernetHeader(reading: Self.header.octets.span.bytes)
        #expect(read.destination == MACAddress(rawValue: 0x0200_5e10_0001))
        #expect(read.source == MACAddress(rawValue: 0x0200_5e10_000a))
        #expect(read.kind == 0x0800)
        expectBytes(written(14) { read.write(to: &$0) }, equals: Self.header)
    }

    @Test("a frame shorter than a header is refused", arguments: 0..<14)
    func short(length: Int) {
        let octets = Array(Self.header.octets.prefix(length))
        #expect(throws: PacketError.truncated(needed: 14, available: length)) {
            try EthernetHeader(reading: octets.span.bytes)
        }
    }

    @Test func `the types are IEEE's numbers`() {
        #expect(EthernetHeader.length == 14)
        #expect(EthernetHeader.Kind.ipv4 == 0x0800)
        #expect(EthernetHeader.Kind.arp == 0x0806)
        #expect(EthernetHeader.Kind.ipv6 == 0x86dd)
        #expect(EthernetHeader.Kind.taggedFrame == 0x8100)
        #expect(EthernetHeader.Kind.experimental == 0x88b5)
    }

    @Test func `an 802.1Q tag stands where the type stands`() throws {
        let tagged: WireFields = [
            ("destination", "ffff ffff ffff"),
            ("source", "0200 5e10 000a"),
            ("tag protocol identifier", "8100"),
            ("priority 0, VLAN 5", "0005"),
            ("EtherType", "0806"),
        ]
        let read = try EthernetHeader(reading: tagged.octets.span.bytes)
        #expect(read.kind == EthernetHeader.Kind.taggedFrame)
    }
}

@Suite("Ethernet address")
struct MACAddressTests {
    private let octets: [UInt8] = [0x02, 0x00, 0x5e, 0x10, 0x80, 0x0a]

    @Test func `the first octet is the highest`() {
        let address = MACAddress(reading: (octets + [0xff]).span.bytes, at: 0)
        #expect(address.rawValue == 0x0200_5e10_800a)
        expectBytes(address.octets, equals: octets)
        expectBytes(written(6) { address.write(to: &$0, at: 0) }, equals: octets)
        #expect(address.description == "02:00:5e:10:80:0a")
        #expect(MACAddress(reading: ([1, 2] + octets).span.bytes, at: 2) == address)
    }

    @Test(
        "the first octet's lowest bit marks a group, of which the broadcast is one",
        arguments: [
            (0xffff_ffff_ffff, true), (0x0100_5e00_00fb, true), (0x3333_0000_0001, true),
            (0x0200_5e10_000a, false), (0xfe00_0000_0000, false), (0x0001_0101_0101, false),
        ] as [(UInt64, Bool)]
    )
    func group(address: UInt64, isGroup: Bool) {
        #expect(MACAddress(rawValue: address).isGroup == isGroup)
    }

    @Test func `a made-up address is local, and no group (IEEE 802, 8.4)`() {
        var random = SeededRandom(seed: 3)
        var seen: UInt8 = 0
        for _ in 0..<64 {
            let first = MACAddress.local(using: &random).octets[0]
            #expect(first & 3 == 2)
            seen |= first
        }
        #expect(seen == 0xfe)
    }

    @Test func `the peers' addresses are gvproxy's`() {
        #expect(MACAddress.standardGateway.description == "5a:94:ef:e4:0c:dd")
        #expect(MACAddress.standardGuest.description == "5a:94:ef:e4:0c:ee")
        #expect(MACAddress.broadcast.octets == [255, 255, 255, 255, 255, 255])
    }
}
