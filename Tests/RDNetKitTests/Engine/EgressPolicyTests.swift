import Testing

@testable import RDNetKit

/// A scripted guest under a policy; its servers listen on the host's loopback, which the rules
/// therefore name.
final class PolicedGuest {
    let guest: ScriptedGuest
    let policy: EgressPolicy
    var records: [PolicyRecord] = []

    init(
        _ rules: String...,
        otherwise fallback: PolicyRule.Action = .deny,
        acceptsEncryptedHello: Bool = false,
        prefix: IPv6Prefix? = nil
    ) throws {
        guest = try ScriptedGuest(prefix: prefix)
        policy = EgressPolicy(
            PolicyRuleSet(try rules.map { try PolicyRule($0) }, otherwise: fallback),
            acceptsEncryptedHello: acceptsEncryptedHello,
            loop: guest.loop
        )
        policy.owner = { [guest] in guest.engine.ethernet.neighbors.mac(of: $0) }
        policy.changed = { [guest] in guest.engine.enforcePolicy() }
        policy.decided = { [unowned self] in records.append($0) }
        guest.engine.network.admission.policy = policy
    }

    /// Replaces the rules of the running network.
    func rule(_ rules: String..., otherwise fallback: PolicyRule.Action = .deny) throws {
        policy.replace(PolicyRuleSet(try rules.map { try PolicyRule($0) }, otherwise: fallback))
    }

    /// Lets the guest have resolved a name to the host alias.
    func resolve(_ name: String, timeToLive: UInt32 = 300) throws {
        policy.pin(
            ScriptedGuest.hostAlias,
            to: try #require(DNSName(name)),
            isLocal: false,
            timeToLive: timeToLive,
            for: ScriptedGuest.address
        )
    }

    /// Connects, sends bytes, and returns what the host has received and whether it was reset.
    func send(_ pieces: [[UInt8]]) throws -> (received: [UInt8], isReset: Bool) {
        let (tcp, host) = try guest.connect(to: HostListener())
        for piece in pieces {
            tcp.send(.ack, piece)
            try guest.settle()
        }
        let answers = try tcp.takeAll()
        host.read()
        return (host.received, answers.contains { $0.flags.contains(.rst) })
    }

    func send(_ text: String) throws -> (received: [UInt8], isReset: Bool) {
        try send([Array(text.utf8)])
    }
}

@Suite("TCP under an egress policy")
struct EgressPolicyTests {
    private static let byName = "allow tcp *.example.com address=host"

    @Test func `a destination without a rule is refused at once, with a reset`() throws {
        let world = try PolicedGuest("allow public")
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 80)
        let tcp = ScriptedConnection(world.guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
        #expect(world.guest.dropped(.policy) == 1)
        #expect(world.records.map(\.ruleText) == ["default deny"])
    }

    @Test func `a destination that a rule allows is not examined`() throws {
        let world = try PolicedGuest("allow host")
        #expect(try world.send("GET").received == Array("GET".utf8))
    }

    @Test func `the gateway's own services need no rule`() throws {
        let world = try PolicedGuest()
        let (tcp, host) = try world.guest.connectToService()
        tcp.send(.ack, "query")
        try world.guest.turn(until: {
            host.read()
            return host.received.count == 5
        })
    }

    @Test func `a name's address is refused to a guest that has not resolved it`() throws {
        let world = try PolicedGuest(Self.byName)
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 80)
        let tcp = ScriptedConnection(world.guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
    }

    @Test(
        "a TLS hello passes if its name is allowed, in segments of any size",
        arguments: [1, 7, 600]
    )
    func helloPasses(size: Int) throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com")
        let hello = TLSHelloBytes.python.octets
        let pieces = stride(from: 0, to: hello.count, by: size).map {
            Array(hello[$0..<min($0 + size, hello.count)])
        }
        let (tcp, host) = try world.guest.connect(to: HostListener())
        for (index, piece) in pieces.enumerated() {
            host.read()
            #expect(host.received.isEmpty, "bytes left before piece \(index)")
            tcp.send(.ack, piece)
            try world.guest.settle()
        }
        try world.guest.turn(until: {
            host.read()
            return host.received.count >= hello.count
        })
        expectBytes(host.received, equals: hello)
    }

    @Test(
        "bytes that name another server never leave, and the connection is reset",
        arguments: [
            ("another name in TLS", TLSHelloBytes.opensslWithDot.octets),
            ("no name in TLS", TLSHelloBytes.nameless.octets),
            ("another Host", Array("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".utf8)),
            ("no Host", Array("GET / HTTP/1.0\r\n\r\n".utf8)),
            ("two Hosts", Array("GET / HTTP/1.1\r\nHost: www.example.com\r\nHost: a\r\n\r\n".utf8)),
            (
                "absolute form",
                Array("GET http://evil.test/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n".utf8)
            ),
            ("a proxy's CONNECT", Array("CONNECT evil.test:443 HTTP/1.1\r\nHost: a\r\n\r\n".utf8)),
            ("an address as Host", Array("GET / HTTP/1.1\r\nHost: 192.168.127.254\r\n\r\n".utf8)),
            ("HTTP/2 without TLS", Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)),
            ("line breaks first", Array("\r\n\r\nGET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".utf8)),
        ]
    )
    func otherNameNeverLeaves(what: String, octets: [UInt8]) throws {
        for pieces in [[octets], octets.map { [$0] }] {
            let world = try PolicedGuest(Self.byName)
            try world.resolve("www.example.com")
            let outcome = try world.send(pieces)
            // A method may leave before it is known to be one.
            #expect(outcome.received.allSatisfy { $0 > 0x20 }, "\(what)")
            #expect(pieces.count > 1 || outcome.received.isEmpty, "\(what)")
            #expect(outcome.isReset, "\(what)")
        }
    }

    @Test func `every request of a connection is checked, not only the first`() throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com")
        let first = "POST / HTTP/1.1\r\nHost: WWW.Example.com.\r\nContent-Length: 5\r\n\r\nhello"
        let second = "GET /secret HTTP/1.1\r\nHost: evil.test\r\n\r\n"
        let apart = try world.send([Array(first.utf8), Array(second.utf8)])
        #expect(apart.received == Array(first.utf8))
        #expect(apart.isReset)
        let together = try world.send(first + second)
        #expect(!String(decoding: together.received, as: UTF8.self).contains("secret"))
        #expect(together.isReset)
    }

    @Test func `protocols without names pass to an allowed address at once`() throws {
        for text in ["SSH-2.0-x\r\n", "\u{0}\u{0}\u{0}\u{8}", "*1\r\n$4\r\nPING\r\n"] {
            let world = try PolicedGuest(Self.byName)
            try world.resolve("www.example.com")
            let outcome = try world.send(text)
            #expect(outcome.received == Array(text.utf8))
            #expect(!outcome.isReset)
        }
    }

    @Test func `a word without an end passes, and a request that begins with it is read`() throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com")
        let (tcp, host) = try world.guest.connect(to: HostListener())
        tcp.send(.ack, "PI")
        try world.guest.turn(until: {
            host.read()
            return host.received == Array("PI".utf8)
        })
        tcp.send(.ack, "NG /secret HTTP/1.1\r\nHost: ")
        try world.guest.settle()
        tcp.send(.ack, "www.example.com\r\n\r\n")
        let whole = "PING /secret HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
        try world.guest.turn(until: {
            host.read()
            return host.received.count == whole.utf8.count
        })
        #expect(host.received == Array(whole.utf8))
    }

    @Test func `the server may speak first`() throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com")
        let (tcp, host) = try world.guest.connect(to: HostListener())
        try host.write(Array("220 ready".utf8))
        #expect(try tcp.receive(9) == Array("220 ready".utf8))
    }

    @Test func `overlapping segments cannot show one name and send another`() throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com")
        let (tcp, host) = try world.guest.connect(to: HostListener())
        let good = Array("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n".utf8)
        let evil = Array("GET / HTTP/1.1\r\nHost: evil.other.test\r\n\r\n".utf8)
        #expect(good.count == evil.count)
        // The end of the one arrives early, then the whole of the other over it.
        tcp.send(.ack, Array(evil[20...]), at: 21)
        try world.guest.settle()
        tcp.send(.ack, good)
        try world.guest.settle()
        _ = try tcp.takeAll()
        host.read()
        let received = String(decoding: host.received, as: UTF8.self)
        #expect(!received.contains("evil"))
        #expect(received.isEmpty || host.received == good)
    }

    @Test func `a stream that ends inside a hello or a request is reset`() throws {
        for start in [Array(TLSHelloBytes.python.octets.prefix(100)), Array("GET / HT".utf8)] {
            let world = try PolicedGuest(Self.byName)
            try world.resolve("www.example.com")
            let (tcp, host) = try world.guest.connect(to: HostListener())
            tcp.send([.fin, .ack], start)
            #expect(try tcp.takeAll().contains { $0.flags.contains(.rst) })
            host.read()
            #expect(host.received.isEmpty)
        }
    }

    @Test func `a stream that ends without naming a server passes`() throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com")
        let (tcp, host) = try world.guest.connect(to: HostListener())
        tcp.send([.fin, .ack], "hello")
        try world.guest.turn(until: {
            host.read()
            return host.hasEnded
        })
        #expect(host.received == Array("hello".utf8))
    }

    @Test func `a hello without an end is cut off when the window is full`() throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com")
        let (tcp, host) = try world.guest.connect(to: HostListener())
        // A record of 16,000 bytes with a message of 16 MiB.
        let record: [UInt8] = [22, 3, 1, 0x3e, 0x80, 1, 0xff, 0xff, 0xff]
        var octets = record + [UInt8](repeating: 0, count: 16_000 - 4)
        octets += [22, 3, 1, 0x3e, 0x80] + [UInt8](repeating: 0, count: 16_000)
        for start in stride(from: 0, to: octets.count, by: 1_000) {
            tcp.send(.ack, Array(octets[start..<min(start + 1_000, octets.count)]))
            try world.guest.settle()
        }
        #expect(try tcp.takeAll().contains { $0.flags.contains(.rst) })
        host.read()
        #expect(host.received.isEmpty)
    }

    @Test func `an address that a name once had is refused after its time`() throws {
        let world = try PolicedGuest(Self.byName)
        try world.resolve("www.example.com", timeToLive: 100)
        let hello = TLSHelloBytes.python.octets
        let (tcp, host) = try world.guest.connect(to: HostListener())
        try world.guest.advance(.seconds(101))
        // The connection was made in time.
        tcp.send(.ack, hello)
        try world.guest.turn(until: {
            host.read()
            return host.received.count == hello.count
        })
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 80)
        let late = ScriptedConnection(world.guest, to: remote)
        late.send(.syn, options: .usual)
        try late.expect([.rst, .ack], ack: 1)
    }

    @Test func `names that another guest resolved count for nothing`() throws {
        let world = try PolicedGuest(Self.byName)
        let stranger = MACAddress(rawValue: 0x0200_0000_0007)
        world.policy.owner = { $0 == ScriptedGuest.address ? .standardGuest : stranger }
        world.policy.pin(
            ScriptedGuest.hostAlias,
            to: try #require(DNSName("www.example.com")),
            isLocal: false,
            timeToLive: 300,
            for: IPAddress(ipv4: 0xc0a8_7f03)
        )
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 80)
        let tcp = ScriptedConnection(world.guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
    }

    @Test func `a hello with an encrypted part is denied, unless the policy accepts it`() throws {
        // The extension 0xfe0d in place of the padding, with any content.
        let hello = TLSHelloBytes.python.setting(
            "padding",
            to: "fe0d 00cc" + String(repeating: "00", count: 204)
        ).octets
        let strict = try PolicedGuest(Self.byName)
        try strict.resolve("www.example.com")
        let outcome = try strict.send([hello])
        #expect(outcome.received.isEmpty)
        #expect(outcome.isReset)
        #expect(strict.records.last?.hidesName == true)
        let lax = try PolicedGuest(Self.byName, acceptsEncryptedHello: true)
        try lax.resolve("www.example.com")
        #expect(try lax.send([hello]).received == hello)
    }

    @Test func `a denied name is found in the hello, whoever resolved the address`() throws {
        let world = try PolicedGuest("deny www.example.com", "allow host")
        let denied = try world.send([TLSHelloBytes.python.octets])
        #expect(denied.received.isEmpty)
        #expect(denied.isReset)
        let other = TLSHelloBytes.opensslWithDot.octets
        #expect(try world.send([other]).received == other)
    }

    @Test func `neither an IPv4 rule nor its absence opens IPv6`() throws {
        let prefix = IPv6Prefix.standard
        let world = try PolicedGuest("allow 0.0.0.0/0", prefix: prefix)
        let alias = try #require(IPAddress("fdc0:a87f::fe"))
        let guest = try #require(IPAddress("fdc0:a87f::2"))
        for transport in [IPProtocol.tcp, IPProtocol.icmpIPv6] {
            let verdict = world.guest.engine.network.admission.decide(
                transport,
                from: guest,
                to: Endpoint(address: try #require(IPAddress("2606:4700::1")), port: 443)
            )
            #expect(verdict == .refuse(.policy))
        }
        let toHost = world.guest.engine.network.admission.decide(
            IPProtocol.tcp,
            from: guest,
            to: Endpoint(address: alias, port: 443)
        )
        #expect(toHost == .refuse(.policy))
    }

    @Test func `clients of published ports reach the guest, whatever its policy`() throws {
        let world = try PolicedGuest()
        let pair = try Socket.pair()
        let client = HostPeer(try pair.one.duplicate())
        let guest = Endpoint(address: ScriptedGuest.address, port: 80)
        world.guest.engine.tcp.open(
            to: guest,
            joining: try pair.other.duplicate(),
            now: world.guest.loop.now
        )
        try world.guest.settle()
        let gateway = Endpoint(address: ScriptedGuest.gateway, port: 0)
        let syn = try world.guest.takeIPv4(GuestWire.Transport.tcp)
        #expect(syn.count == 1)
        #expect(syn.first?.header.source == gateway.address)
        client.read()
        #expect(!client.hasEnded)
    }
}
