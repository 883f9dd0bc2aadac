import Testing

@testable import RDNetKit

@Suite("policy rules")
struct PolicyRuleTests {
    @Test(
        "a rule is printed as it can be written",
        arguments: [
            "allow any", "deny private", "ask public", "allow tcp api.example.com:443",
            "allow *.example.com:80,443,8000-8100", "deny udp 10.0.0.0/8:53", "deny icmp any",
            "allow quic example.com", "allow dns *.corp.example", "allow [2001:db8::/32]:443",
            "deny 2001:db8::1", "allow host:8080 guest=192.168.127.3",
            "allow tcp any guest=5a:94:ef:e4:0c:ee",
            "allow git.corp.example:22 address=private,10.0.0.0/8",
        ]
    )
    func isPrintedAsWritten(text: String) throws {
        #expect(try PolicyRule(text).description == text)
    }

    @Test func `names are compared in lower case and without their final dot`() throws {
        #expect(try PolicyRule("allow API.Example.COM.").description == "allow api.example.com")
        #expect(try PolicyRule("allow *").description == "allow any")
    }

    @Test(
        "a mistake is reported with its column",
        arguments: [
            ("", 1), ("permit any", 1), ("allow", 6), ("allow sctp any", 12),
            ("allow tcp", 10), ("allow 10.0.0.1/8", 7), ("allow 10.0.0.300", 7),
            ("allow 1.2.3", 7), ("allow a..b", 7), ("allow tcp a.b:0", 15),
            ("allow tcp a.b:443-80", 15), ("allow tcp a.b:1,,2", 15), ("allow icmp a.b:443", 12),
            ("allow dns 10.0.0.0/8", 11), ("ask dns a.b", 9), ("allow a.b x=y", 11),
            ("allow a.b guest=nobody", 11), ("allow any address=private", 11),
            ("allow a.b address=c.d", 11), ("allow münchen.example", 7),
        ]
    )
    func isReportedWithItsColumn(text: String, column: Int) {
        let error = #expect(throws: PolicyRuleError.self) { try PolicyRule(text) }
        #expect(error?.column == column)
    }

    @Test func `a wildcard is about the names below, at every depth`() throws {
        let name = try #require(PolicyName("*.example.com"))
        #expect(name.matches("a.example.com"))
        #expect(name.matches("a.b.example.com"))
        #expect(!name.matches("example.com"))
        #expect(!name.matches("badexample.com"))
        #expect(!name.matches(".example.com"))
    }
}

@Suite("address kinds")
struct AddressKindTests {
    @Test(
        "every address has one kind",
        arguments: [
            ("1.1.1.1", AddressKind.public), ("10.1.2.3", .private), ("172.31.0.1", .private),
            ("172.32.0.1", .public), ("100.64.0.1", .private), ("100.100.100.200", .metadata),
            ("169.254.169.254", .metadata), ("169.254.1.1", .private), ("127.8.8.8", .host),
            ("168.63.129.16", .metadata), ("192.0.2.1", .private), ("224.0.0.1", .private),
            ("255.255.255.255", .private), ("0.0.0.0", .private), ("::1", .host),
            ("2606:4700::1", .public), ("2001:db8::1", .private), ("3fff::1", .private),
            ("fd00::1", .private), ("fe80::1", .private), ("fe80::a9fe:a9fe", .metadata),
            ("fd00:ec2::254", .metadata), ("fd20:ce::254", .metadata), ("ff02::1", .private),
            ("::", .private),
        ]
    )
    func hasOneKind(text: String, kind: AddressKind) throws {
        #expect(AddressKind.of(try #require(IPAddress(text))) == kind)
    }

    @Test(
        "an IPv4 address stays what it is in the clothes of IPv6",
        arguments: [
            "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1",
            "2001::5601:5601", "2606::5efe:a9fe:a9fe", "::a9fe:a9fe", "::ffff:169.254.169.254",
        ]
    )
    func staysWhatItIs(text: String) throws {
        #expect(AddressKind.of(try #require(IPAddress(text))) == .metadata)
    }

    @Test func `a public address of NAT64 is public`() throws {
        #expect(AddressKind.of(try #require(IPAddress("64:ff9b::101:101"))) == .public)
        #expect(AddressKind.of(try #require(IPAddress("2002:0101:0101::1"))) == .public)
    }
}

@Suite("policy decisions")
struct PolicyRuleSetTests {
    private let guest = PolicyGuest(
        address: IPAddress(ipv4: 0xc0a8_7f02),
        mac: MACAddress.standardGuest,
        owner: { $0 == IPAddress(ipv4: 0xc0a8_7f02) ? MACAddress.standardGuest : nil }
    )

    private func rules(
        _ texts: String...,
        otherwise fallback: PolicyRule.Action = .deny
    ) throws -> PolicyRuleSet {
        PolicyRuleSet(try texts.map { try PolicyRule($0) }, otherwise: fallback)
    }

    private func subject(
        _ address: String,
        _ port: UInt16 = 443,
        _ transport: PolicyRule.Transport = .tcp,
        names: [String] = [],
        shown: ShownName = .unknown
    ) throws -> PolicyRuleSet.Subject {
        let address = try #require(IPAddress(address))
        return PolicyRuleSet.Subject(
            guest: guest,
            transport: transport,
            address: address,
            port: port,
            kind: AddressKind.of(address),
            names: names.map { NamePins.Name(text: $0, isLocal: false) },
            shown: shown
        )
    }

    @Test func `the first rule that matches decides, then the default`() throws {
        let rules = try rules("deny 10.1.0.0/16", "allow 10.0.0.0/8", "deny any:22")
        #expect(rules.decide(try subject("10.1.2.3")).action == .deny)
        #expect(rules.decide(try subject("10.2.2.3", 22)).action == .allow)
        #expect(rules.decide(try subject("8.8.8.8", 22)).rule?.description == "deny any:22")
        #expect(rules.decide(try subject("8.8.8.8")) == .init(action: .deny))
    }

    @Test func `a name allows an address only for the guest that resolved it`() throws {
        let rules = try rules("allow api.example:443")
        #expect(rules.decide(try subject("1.1.1.1")).action == .deny)
        let decision = rules.decide(try subject("1.1.1.1", names: ["api.example"]))
        #expect(decision.action == .allow)
        #expect(decision.needsName)
        #expect(rules.decide(try subject("1.1.1.1", names: ["other.example"])).action == .deny)
        #expect(rules.decide(try subject("1.1.1.1", 80, names: ["api.example"])).action == .deny)
    }

    @Test func `what the connection shows must match as well`() throws {
        let rules = try rules("allow *.example")
        func action(_ shown: ShownName) throws -> PolicyRule.Action {
            rules.decide(try subject("1.1.1.1", names: ["a.example"], shown: shown)).action
        }
        #expect(try action(.name("a.example")) == .allow)
        #expect(try action(.name("b.example")) == .allow)
        #expect(try action(.name("b.other")) == .deny)
        #expect(try action(.hidden) == .deny)
        #expect(try action(.none) == .allow)
    }

    @Test func `a name may not lead into private networks unless its rule says so`() throws {
        let names = ["api.example"]
        for address in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "64:ff9b::a00:1"] {
            let subject = try subject(address, names: names)
            #expect(try rules("allow api.example").decide(subject).action == .deny)
        }
        let inside = try rules("allow api.example address=10.0.0.0/8")
        #expect(inside.decide(try subject("10.0.0.1", names: names)).action == .allow)
        #expect(inside.decide(try subject("1.1.1.1", names: names)).action == .deny)
    }

    @Test func `a denied name is denied by what the connection shows`() throws {
        let rules = try rules("deny ads.example", "allow public")
        #expect(rules.decide(try subject("1.1.1.1", names: ["ads.example"])).action == .deny)
        // The same address has another name, so the first bytes decide.
        let shared = try subject("1.1.1.1", names: ["ads.example", "good.example"])
        #expect(rules.decide(shared).action == .allow)
        #expect(rules.decide(shared).needsName)
        // Resolved somewhere else.
        #expect(rules.decide(try subject("1.1.1.1")).needsName)
        let shown = try subject("1.1.1.1", shown: .name("ads.example"))
        #expect(rules.decide(shown).action == .deny)
        // A protocol without names: one of the address's names is denied.
        let silent = try subject("1.1.1.1", names: ["ads.example", "good.example"], shown: .none)
        #expect(rules.decide(silent).action == .deny)
    }

    @Test func `a denied IPv4 network is denied in IPv6 forms, and an allowed one is not`() throws {
        let denied = try rules("deny 8.8.8.0/24", "allow public")
        for form in ["64:ff9b::808:808", "2002:808:808::1"] {
            #expect(denied.decide(try subject(form)).action == .deny)
            #expect(try rules("allow 8.8.8.0/24").decide(try subject(form)).action == .deny)
        }
    }

    @Test func `rules of one family say nothing about the other`() throws {
        let rules = try rules("allow 0.0.0.0/0")
        #expect(rules.decide(try subject("2606:4700::1")).action == .deny)
        #expect(rules.decide(try subject("1.1.1.1")).action == .allow)
    }

    @Test func `transports and ports limit a rule`() throws {
        let rules = try rules("allow udp any:53", "allow icmp public", "deny quic any", "allow any")
        #expect(rules.decide(try subject("1.1.1.1", 53, .udp)).rule?.transport == .udp)
        #expect(rules.decide(try subject("1.1.1.1", 0, .icmp)).rule?.transport == .icmp)
        #expect(rules.decide(try subject("1.1.1.1", 443, .quic)).action == .deny)
        #expect(rules.decide(try subject("1.1.1.1", 443, .udp)).action == .allow)
        // Every QUIC datagram is a UDP datagram.
        #expect(rules.decide(try subject("1.1.1.1", 53, .quic)).rule?.transport == .udp)
        // A rule with ports is not about echo.
        let ports = try self.rules("allow any:1-65535")
        #expect(ports.decide(try subject("1.1.1.1", 0, .icmp)).action == .deny)
    }

    @Test func `a rule for a guest covers all addresses of that machine`() throws {
        let rules = try rules("allow any guest=192.168.127.2")
        var subject = try subject("1.1.1.1")
        #expect(rules.decide(subject).action == .allow)
        let ipv6 = try #require(IPAddress("fdc0:a87f::1234"))
        let owner: (IPAddress) -> MACAddress? = { _ in .standardGuest }
        subject.guest = PolicyGuest(address: ipv6, mac: .standardGuest, owner: owner)
        #expect(rules.decide(subject).action == .allow)
        subject.guest = PolicyGuest(
            address: ipv6,
            mac: MACAddress(rawValue: 0x0200_0000_0009),
            owner: owner
        )
        #expect(rules.decide(subject).action == .deny)
    }

    @Test func `queries leave only for names that a rule could allow`() throws {
        let rules = try rules("deny bad.example", "allow *.example", "allow 10.0.0.0/8")
        #expect(rules.decide(onName: "a.example", for: guest).action == .allow)
        #expect(rules.decide(onName: "bad.example", for: guest).action == .deny)
        // An allowed address does not let names out.
        #expect(rules.decide(onName: "secret.evil", for: guest).action == .deny)
        let open = try self.rules("deny host", "allow public")
        #expect(open.decide(onName: "secret.evil", for: guest).action == .allow)
        let closed = try self.rules("deny dns any", "allow public")
        #expect(closed.decide(onName: "secret.evil", for: guest).action == .deny)
        // Port 443 of it is denied, but others are not.
        let partly = try self.rules("deny tcp a.b:443", "allow public")
        #expect(partly.decide(onName: "a.b", for: guest).action == .allow)
    }

    @Test func `ten thousand rules give the answer of the first`() throws {
        var texts = (0..<10_000).map { "allow host\($0).example:443" }
        texts.insert("deny host5000.example", at: 4_000)
        let set = PolicyRuleSet(try texts.map { try PolicyRule($0) }, otherwise: .deny)
        #expect(set.decide(try subject("1.1.1.1", names: ["host5000.example"])).action == .deny)
        #expect(set.decide(try subject("1.1.1.1", names: ["host5001.example"])).action == .allow)
    }
}
