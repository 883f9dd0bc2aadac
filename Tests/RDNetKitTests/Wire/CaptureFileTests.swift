import Testing

@testable import RDNetKit

/// What tcpdump writes on a little-endian machine (draft-ietf-opsawg-pcap).
@Suite("capture file")
struct CaptureFileTests {
    private static let header: WireFields = [
        ("magic: microseconds", "d4c3 b2a1"),
        ("major version", "0200"),
        ("minor version", "0400"),
        ("reserved: time zone", "0000 0000"),
        ("reserved: accuracy", "0000 0000"),
        ("snapshot length: 262,144", "0000 0400"),
        ("link type: Ethernet", "0100 0000"),
    ]

    @Test func `the header is tcpdump's`() {
        expectBytes(CaptureFile.header(), equals: Self.header)
        #expect(CaptureFile.headerLength == 24)
    }

    @Test func `a record is tcpdump's`() {
        // 2026-11-29 14:57:54.065162 UTC, an ARP request.
        let record: WireFields = [
            ("seconds", "723d 0c6b"),
            ("microseconds", "8afe 0000"),
            ("captured length", "2a00 0000"),
            ("original length", "2a00 0000"),
        ]
        let octets = CaptureFile.recordHeader(microseconds: 1_795_964_274_065_162, length: 42)
        expectBytes(octets, equals: record)
        #expect(CaptureFile.recordHeaderLength == 16)
    }
}
