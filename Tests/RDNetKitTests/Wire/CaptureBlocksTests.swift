import Testing

@testable import RDNetKit

/// The octets are annotated after draft-ietf-opsawg-pcapng, sections 4.1 to 4.5.
@Suite("pcapng blocks")
struct CaptureBlocksTests {
    @Test func `a section has the byte order, the version, no length and the program's name`() {
        let expected: [UInt8] =
            // Kind, total length.
            [0x0a, 0x0d, 0x0d, 0x0a, 40, 0, 0, 0]
            // Byte-order magic, major and minor version, section length -1.
            + [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]
            // shb_userappl, 1 octet, padding; the end of the options; total length.
            + [4, 0, 1, 0, 0x78, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0]
        #expect(CaptureBlocks.section(application: "x") == expected)
    }

    @Test func `an interface has its link type and its name`() {
        let expected: [UInt8] =
            // Kind, total length, link type, reserved, no limit.
            [1, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
            // if_name, 3 octets, padding; the end of the options; total length.
            + [2, 0, 3, 0, 0x74, 0x61, 0x70, 0, 0, 0, 0, 0, 32, 0, 0, 0]
        #expect(CaptureBlocks.interface(named: "tap") == expected)
    }

    @Test func `names follow their addresses`() throws {
        let address = try #require(IPAddress("1.2.3.4"))
        let expected: [UInt8] =
            // Kind, total length, nrb_record_ipv4, 7 octets.
            [4, 0, 0, 0, 28, 0, 0, 0, 1, 0, 7, 0]
            // The address, "ab", its end, padding; the end of the records; total length.
            + [1, 2, 3, 4, 0x61, 0x62, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0]
        #expect(CaptureBlocks.names([(address, "ab")]) == expected)
    }

    @Test func `a comment lengthens its packet, also between others`() {
        var octets: [UInt8] = []
        for _ in 0..<2 { packet(to: &octets) }
        let length = octets.count / 2
        let second = Array(octets[length...])
        CaptureBlocks.add(comment: "no", toPacketAt: 0, in: &octets)
        let expected: [UInt8] =
            // Kind, total length, interface, high and low half of the time.
            [6, 0, 0, 0, 64, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]
            // Captured and original length, the packet, padding.
            + [5, 0, 0, 0, 5, 0, 0, 0, 9, 9, 9, 9, 9, 0, 0, 0]
            // epb_flags: outbound. epb_dropcount: 7.
            + [2, 0, 4, 0, 2, 0, 0, 0, 4, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0]
            // opt_comment, 2 octets, padding; the end of the options; total length.
            + [1, 0, 2, 0, 0x6e, 0x6f, 0, 0, 0, 0, 0, 0, 64 + 8, 0, 0, 0]
        var first = Array(octets[..<(length + 8)])
        first[4] -= 8
        #expect(first == expected)
        #expect(Array(octets[(length + 8)...]) == second)
    }

    private func packet(to octets: inout [UInt8]) {
        let start = octets.count
        CaptureBlocks.beginPacket(
            microseconds: 1 << 32 | 2,
            interface: 3,
            length: 5,
            to: &octets
        )
        octets += [9, 9, 9, 9, 9]
        CaptureBlocks.finishPacket(from: start, .toGuest, lost: 7, in: &octets)
    }
}
