import Testing

@testable import RDNetKit

/// `nameserver fe80::1%eth0`, with a real kernel's link-local addresses.
@Suite("link-local name server", .enabled(if: canMakeNamespaces, "needs root"))
struct DNSZonedServerTests {
    /// Two links, each with a server at fe80::2 whose answers end with the link's number.
    private final class Scene {
        let links: LinkedNamespaces
        let fixture: DNSFixture
        var servers: [DatagramResponder] = []

        init(resolver: String) throws {
            links = try LinkedNamespaces(links: 2)
            fixture = try DNSFixture(upstreams: 0, resolver: resolver)
            for number in 0..<2 { try serve(number) }
        }

        func serve(_ number: Int) throws {
            servers.append(
                try DatagramResponder(in: links.neighbors[number], loop: fixture.loop) {
                    let any = Endpoint(address: .anyIPv6, port: 53)
                    return try ListeningSocket.udp(any)
                } answer: { query in
                    [DNSOctets.answer(query, records: [UInt8(number)])]
                }
            )
        }

        func answer(id: UInt16) throws -> [UInt8] {
            try links.host.enter { try fixture.answer(to: DNSOctets.query("a.example", id: id)) }
        }

        deinit {
            for server in servers { server.close() }
        }
    }

    @Test("a server is asked on its interface's link", arguments: [0, 1] as [UInt8])
    func isAskedOnItsLink(number: UInt8) throws {
        let scene = try Scene(resolver: "nameserver fe80::2%uplink\(number)\n")
        #expect(try scene.answer(id: 1).last == number)
    }

    @Test func `a zone may be a number`() throws {
        let links = try LinkedNamespaces(links: 1)
        let text = try links.host.run("cat", "/sys/class/net/uplink0/ifindex").dropLast()
        let server = try #require(ZonedEndpoint(address: "fe80::2%\(text)", port: 53))
        let resolved = try links.host.enter { try server.resolved() }
        #expect(resolved.description == "[fe80::2%\(text)]:53")
    }

    @Test func `the same address on two links is two servers`() throws {
        let scene = try Scene(
            resolver: "nameserver fe80::2%uplink1\nnameserver fe80::2%uplink0\n"
        )
        #expect(try scene.answer(id: 1).last == 1)
        scene.servers[1].close()
        try scene.links.host.enter {
            scene.fixture.ask(DNSOctets.query("a.example", id: 2))
            try scene.fixture.pass(.milliseconds(2_010))
            try scene.fixture.run { scene.fixture.recorder.sent.count == 2 }
        }
        #expect(scene.fixture.recorder.sent.last?.payload.last == 0)
    }

    @Test func `an interface that is gone costs no time, and is used again when it is back`() throws
    {
        let scene = try Scene(
            resolver: "nameserver fe80::2%uplink1\nnameserver fe80::2%uplink0\n"
        )
        try scene.links.host.run("ip", "link", "delete", "uplink1")
        // The clock stands still, so no timeout is involved.
        #expect(try scene.answer(id: 1).last == 0)
        try scene.links.connect(1)
        #expect(try scene.answer(id: 2).last == 1)
    }

    @Test func `a link-local server without a zone is passed over`() throws {
        let scene = try Scene(resolver: "nameserver fe80::2\nnameserver fe80::2%uplink0\n")
        #expect(try scene.answer(id: 1).last == 0)
    }

    @Test func `a global address needs no zone, whatever interface it names`() throws {
        let server = try #require(ZonedEndpoint(address: "2001:db8::1%gone0", port: 53))
        #expect(try server.resolved() == Endpoint(address: server.endpoint.address, port: 53))
    }

    @Test func `forwards and listeners keep the zone`() throws {
        let links = try LinkedNamespaces(links: 1)
        let local = try ForwardAddress.local("[fe80::1%uplink0]:7001", .tcp)
        #expect(local.description == "[fe80::1%uplink0]:7001")
        try links.host.enter {
            let socket = try ListeningSocket.tcp(local.endpoint.resolved())
            #expect(try Socket.localAddress(socket).endpoint?.scope != 0)
            let address = try #require(StreamAddress("tcp://[fe80::1%25uplink0]:7002"))
            let listener = try LinkOpener.listen(
                at: .stream(address, .littleEndian16),
                loop: try EventLoop(),
                log: .discarding()
            ) { _, _ in }
            #expect(listener.endpoint?.port == 7_002)
            listener.close()
        }
    }
}
