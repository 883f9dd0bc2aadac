import Testing

@testable import RDNetKit

/// What Linux puts before a frame that it hands to a TAP device with `IFF_VNET_HDR`.
@Suite("virtio-net header")
struct VirtioNetHeaderTests {
    /// A datagram whose checksum is left to the device.
    private static let datagram: WireFields = [
        ("flags: NEEDS_CSUM", "01"),
        ("gso_type: NONE", "00"),
        ("hdr_len", "0000"),
        ("gso_size", "0000"),
        ("csum_start: 34", "2200"),
        ("csum_offset: 6", "0600"),
    ]
    /// 5,000 octets of TCP payload for segments of 1,460.
    private static let tcpIPv4: WireFields = [
        ("flags: NEEDS_CSUM", "01"),
        ("gso_type: TCPV4", "01"),
        ("hdr_len: 54", "3600"),
        ("gso_size: 1460", "b405"),
        ("csum_start: 34", "2200"),
        ("csum_offset: 16", "1000"),
    ]
    /// The same over IPv6.
    private static let tcpIPv6: WireFields = [
        ("flags: NEEDS_CSUM", "01"),
        ("gso_type: TCPV6", "04"),
        ("hdr_len: 74", "4a00"),
        ("gso_size: 1440", "a005"),
        ("csum_start: 54", "3600"),
        ("csum_offset: 16", "1000"),
    ]
    /// 2,500 octets sent with UDP_SEGMENT of 1,000.
    private static let udp: WireFields = [
        ("flags: NEEDS_CSUM", "01"),
        ("gso_type: UDP_L4", "05"),
        ("hdr_len: 42", "2a00"),
        ("gso_size: 1000", "e803"),
        ("csum_start: 34", "2200"),
        ("csum_offset: 6", "0600"),
    ]

    private func expectHeader(_ fields: WireFields, _ expected: VirtioNetHeader) throws {
        #expect(try VirtioNetHeader(reading: fields.octets.span.bytes) == expected)
        expectBytes(written(10) { expected.write(to: &$0) }, equals: fields)
    }

    private func header(
        _ segmentation: VirtioNetHeader.Segmentation,
        _ headers: UInt16,
        _ size: UInt16,
        checksum: (start: UInt16, offset: UInt16)
    ) -> VirtioNetHeader {
        var header = VirtioNetHeader()
        header.needsChecksum = true
        header.segmentation = segmentation
        header.headerLength = headers
        header.segmentSize = size
        header.checksumStart = checksum.start
        header.checksumOffset = checksum.offset
        return header
    }

    @Test func `a checksum that is left to the device`() throws {
        let expected = header(.none, 0, 0, checksum: (34, 6))
        try expectHeader(Self.datagram, expected)
        #expect(!expected.isFinished)
    }

    @Test func `TCP segments over IPv4, over IPv6, and UDP datagrams`() throws {
        try expectHeader(Self.tcpIPv4, header(.tcpIPv4, 54, 1460, checksum: (34, 16)))
        try expectHeader(Self.tcpIPv6, header(.tcpIPv6, 74, 1440, checksum: (54, 16)))
        try expectHeader(Self.udp, header(.udp, 42, 1000, checksum: (34, 6)))
    }

    @Test func `a finished frame has a header of zeros`() throws {
        let zeros: WireFields = [("virtio_net_hdr", "0000 0000 0000 0000 0000")]
        try expectHeader(zeros, .finished)
        #expect(VirtioNetHeader.finished.isFinished)
    }

    @Test func `a checksum that the kernel has verified has flag 2 (DATA_VALID)`() throws {
        var expected = VirtioNetHeader()
        expected.checksumIsValid = true
        let valid: WireFields = [("flags: DATA_VALID", "02"), ("rest", "00 0000 0000 0000 0000")]
        try expectHeader(valid, expected)
        #expect(expected.isFinished)
    }

    @Test func `the bit of ECN in gso_type is no other kind`() throws {
        let marked = Self.tcpIPv4.setting("gso_type: TCPV4", to: "81")
        let read = try VirtioNetHeader(reading: marked.octets.span.bytes)
        #expect(read.segmentation == .tcpIPv4)
    }

    @Test func `another kind of segmentation is kept`() throws {
        let fragments = Self.udp.setting("gso_type: UDP_L4", to: "03")
        try expectHeader(fragments, header(.other(3), 42, 1000, checksum: (34, 6)))
        #expect(!header(.other(3), 0, 0, checksum: (0, 0)).isFinished)
        var segmented = VirtioNetHeader()
        segmented.segmentation = .tcpIPv4
        #expect(!segmented.isFinished)
    }

    @Test("a header cut short is refused", arguments: 0..<10)
    func short(length: Int) {
        let octets = Array(Self.udp.octets.prefix(length))
        #expect(throws: PacketError.truncated(needed: 10, available: length)) {
            try VirtioNetHeader(reading: octets.span.bytes)
        }
    }
}
