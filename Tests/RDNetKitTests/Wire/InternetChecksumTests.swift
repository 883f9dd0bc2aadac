import Testing

@testable import RDNetKit

@Suite("Internet checksum")
struct InternetChecksumTests {
    private func checksum(_ octets: [UInt8], adding initial: UInt64 = 0) -> UInt16 {
        octets.withUnsafeBytes { InternetChecksum.checksum($0, adding: initial) }
    }

    @Test func `RFC 1071, section 3: the sum of the example is ddf2`() {
        let octets: [UInt8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]
        let sum = octets.withUnsafeBytes { InternetChecksum.sum($0) }
        #expect(InternetChecksum.fold(sum) == 0xddf2)
        #expect(checksum(octets) == 0x220d)
    }

    @Test func `an odd last octet is the high half of a word (RFC 1071, section 1)`() {
        #expect(checksum([0xab]) == ~0xab00)
        #expect(checksum([0x01, 0x02, 0x03]) == ~0x0402)
        #expect(checksum([]) == 0xffff)
    }

    @Test func `carries come around until none is left`() {
        #expect(checksum([0xff, 0xff, 0x00, 0x01]) == 0xfffe)
        #expect(checksum([UInt8](repeating: 0xff, count: 65_534)) == 0)
        #expect(InternetChecksum.fold(UInt64.max) == 0xffff)
        #expect(InternetChecksum.fold(0xffff_ffff_0000_0001) == UInt16(1).bigEndian)
    }

    @Test("every length has the sum of its words", arguments: [0, 1, 7])
    func lengths(start: Int) {
        var random = SeededRandom(seed: UInt64(start))
        let octets = (0..<1700).map { _ in UInt8.random(in: 0...255, using: &random) }
        for count in Array(0...260) + [511, 512, 513, 1459, 1460, 1480, 1499, 1600] {
            let part = Array(octets[start..<(start + count)])
            #expect(checksum(part) == PlainChecksum.of(part), "\(count) octets from \(start)")
        }
    }

    @Test func `a sum goes on behind an even number of octets`() {
        let octets = (0..<99).map { UInt8(truncatingIfNeeded: $0 * 37) }
        let head = octets[..<40].withUnsafeBytes { InternetChecksum.sum($0) }
        #expect(checksum(Array(octets[40...]), adding: head) == PlainChecksum.of(octets))
    }

    // MARK: Pseudo-headers

    private func pseudo(
        _ source: IPAddress,
        _ destination: IPAddress,
        _ transport: UInt8,
        _ length: Int
    )
        -> UInt64
    {
        InternetChecksum.pseudoHeaderSum(
            source: source,
            destination: destination,
            transport: transport,
            length: length
        )
    }

    @Test func `TCP over IPv4 sums to nothing, as Linux sent it`() {
        let segment = TCPHeaderTests.syn.octets
        let start = pseudo(IPAddress(ipv4: 0xc000_020a), IPAddress(ipv4: 0xc633_640b), 6, 40)
        #expect(checksum(segment, adding: start) == 0)
        let unsummed = TCPHeaderTests.syn.setting("checksum", to: "0000").octets
        #expect(checksum(unsummed, adding: start) == 0x0206)
    }

    @Test func `UDP over IPv4 sums to nothing, as Linux sent it, with an odd length`() {
        let datagram = UDPHeaderTests.packet.from("source port").octets
        let start = pseudo(IPAddress(ipv4: 0xc000_020a), IPAddress(ipv4: 0xc633_640b), 17, 11)
        #expect(checksum(datagram, adding: start) == 0)
    }

    @Test func `UDP over IPv6 sums to nothing, as Linux sent it (RFC 8200, 8.1)`() throws {
        let datagram: WireFields = [
            ("source port", "9faa"),
            ("destination port", "0009"),
            ("length", "000b"),
            ("checksum", "314b"),
            ("payload", "6f64 64"),
        ]
        let (one, other) = (
            try #require(IPAddress("2001:db8::1")), try #require(IPAddress("2001:db8::2"))
        )
        #expect(checksum(datagram.octets, adding: pseudo(one, other, 17, 11)) == 0)
    }

    @Test func `a partial checksum is the pseudo-header's, as Linux leaves it to a device`() {
        // From 192.0.2.1 to 192.0.2.2: a SYN of 40 octets and a datagram of 13.
        let (one, other) = (IPAddress(ipv4: 0xc000_0201), IPAddress(ipv4: 0xc000_0202))
        #expect(InternetChecksum.fold(pseudo(one, other, 6, 40)) == 0x8432)
        #expect(InternetChecksum.fold(pseudo(one, other, 17, 13)) == 0x8422)
    }
}
