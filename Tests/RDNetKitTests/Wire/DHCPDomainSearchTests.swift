import Testing

@testable import RDNetKit

@Suite("DHCP domain search")
struct DHCPDomainSearchTests {
    @Test func `writes names as labels, one after another`() {
        let octets: [UInt8] =
            [3] + Array("eng".utf8) + [5] + Array("apple".utf8) + [3] + Array("com".utf8) + [0]
            + [3] + Array("lan".utf8) + [0]
        #expect(DHCPDomainSearch.octets(["eng.apple.com", "lan"]) == octets)
        #expect(DHCPDomainSearch.domains(reading: octets) == ["eng.apple.com", "lan"])
    }

    @Test func `RFC 3397 section 4: reads the example with its pointer`() {
        let octets: [UInt8] =
            [3] + Array("eng".utf8)
            + [5] + Array("apple".utf8)  // offset 4
            + [3] + Array("com".utf8) + [0]
            + [9] + Array("marketing".utf8) + [0xc0, 0x04]  // apple.com
        let domains = DHCPDomainSearch.domains(reading: octets)
        #expect(domains == ["eng.apple.com", "marketing.apple.com"])
    }

    @Test(
        "a broken list ends, and keeps what came before",
        arguments: [
            ([0xc0, 0x05], "a pointer to itself"), ([0xc0, 0x40], "a pointer forwards"),
            ([0xc0], "half a pointer"), ([0x09, 0x61], "a label beyond the end"),
            ([0x01, 0x61], "no root"), ([0x80, 0x00], "a reserved label type"),
        ] as [([UInt8], String)]
    )
    func brokenListEnds(tail: [UInt8], why: String) {
        let octets = [3] + Array("lan".utf8) + [0] + tail
        #expect(DHCPDomainSearch.domains(reading: octets) == ["lan"], "\(why)")
    }

    @Test(
        "a name that would break a file is left out",
        arguments: ["a b", "a\nnameserver 6.6.6.6", "", ".", "a..b", "$(id)", "ä.de"]
            + [String(repeating: "a", count: 64)]
    )
    func unsafeNameIsLeftOut(name: String) {
        #expect(DHCPDomainSearch.octets([name, "lan"]) == [3] + Array("lan".utf8) + [0])
        let octets =
            [UInt8(truncatingIfNeeded: min(name.utf8.count, 63))] + name.utf8.prefix(63) + [0]
        if name != String(repeating: "a", count: 64) {
            #expect(DHCPDomainSearch.domains(reading: octets).isEmpty)
        }
    }

    @Test func `a list without end is bounded`() {
        let octets = [[UInt8]](repeating: [1, 0x61, 0], count: 1000).flatMap { $0 }
        #expect(DHCPDomainSearch.domains(reading: octets).count == DHCPDomainSearch.maximumDomains)
    }
}
