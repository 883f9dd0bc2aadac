import Testing

@testable import RDNetKit

@Suite("pasta's lists of ports")
struct PastaPortsTests {
    @Test(
        "as in its manual",
        arguments: [
            ("22", [(22, 22)]),
            ("22:23", [(22, 23)]),
            ("22,25", [(22, 22), (25, 25)]),
            ("25,22:2222", [(22, 2222), (25, 25)]),
            ("22-24:32-34", [(22, 32), (23, 33), (24, 34)]),
            ("2000-2003,~2001-2002", [(2000, 2000), (2003, 2003)]),
            ("~2001,2000-2002:3000-3002", [(2000, 3000), (2002, 3002)]),
            ("65535", [(65535, 65535)]),
        ] as [(String, [(UInt16, UInt16)])]
    )
    func lists(text: String, pairs: [(UInt16, UInt16)]) throws {
        let ports = try #require(PastaPorts(text))
        #expect(ports.pairs == pairs.map { PastaPorts.Pair(outer: $0, inner: $1) })
        #expect(ports.description == text)
        #expect(ports.address == nil && ports.interface == nil)
    }

    @Test(
        "at one address, and on one interface",
        arguments: [
            ("192.0.2.1/22", "192.0.2.1", nil),
            ("192.0.2.1%eth0/22", "192.0.2.1", "eth0"),
            ("%eth0/22", nil, "eth0"),
            ("::1/22", "::1", nil),
            ("[::1]/22", "::1", nil),
            ("[2001:db8::1]%eth0/22", "2001:db8::1", "eth0"),
        ] as [(String, String?, String?)]
    )
    func places(text: String, address: String?, interface: String?) throws {
        let ports = try #require(PastaPorts(text))
        #expect(ports.address == address.flatMap { IPAddress($0) })
        #expect(ports.interface == interface)
        #expect(ports.pairs == [PastaPorts.Pair(outer: 22, inner: 22)])
    }

    @Test(
        "mistakes are refused",
        arguments: [
            "", "all", "None", "0", "65536", "80-", "-80", "90-80", "80:90:100", "80-90:80-89", ",",
            "80,", "80,80", "80-90,85:1", "~80", "80,~80", "80,~", "1/2/80", "/80", "%/80",
            "192.0.2.1%/80", "192.0.2/80", "[192.0.2.1]/80", "::1%a/b/80", "80/192.0.2.1",
            "192.0.2.1/none", "192.0.2.1/auto", "+80", " 80",
        ]
    )
    func mistakes(text: String) {
        #expect(PastaPorts(text) == nil)
    }

    @Test func `ports of a loopback address have no other address`() {
        let syntax = ValueSyntax<PastaPorts>.pastaLoopbackPorts
        #expect(syntax.parse("22:23") != nil)
        #expect(syntax.parse("127.0.0.1/22") == nil)
        #expect(syntax.parse("%lo/22") == nil)
    }

    @Test(
        "nothing means auto, and words stand alone",
        arguments: [
            ([], true, false), (["auto"], true, false), (["none"], false, false),
            (["80"], false, false), (["80", "90"], false, false), (["none", "none"], false, false),
            (["none", "80"], false, true), (["auto", "80"], true, true),
            (["none", "auto"], true, true),
        ]
    )
    func together(texts: [String], isAuto: Bool, isContradictory: Bool) {
        let lists = texts.compactMap { PastaPorts($0) }
        #expect(lists.count == texts.count)
        #expect(lists.isAuto == isAuto)
        #expect(lists.isContradictory == isContradictory)
    }
}
