import CLinux
import Glibc
import Testing

@testable import RDNetKit

/// Names under `local`, with responders on the links of a namespace.
@Suite("mDNS", .enabled(if: canMakeNamespaces, "needs root"))
struct MulticastResolverTests {
    private static let printer = DNSOctets.query("printer.local", id: 1)

    /// Two links; `respond` starts a responder at 10.99.N.2 on link N.
    private final class Scene {
        let links: LinkedNamespaces
        let fixture: DNSFixture
        var responders: [DatagramResponder] = []

        /// Creates the links and a service in the host's namespace.
        ///
        /// - Parameters:
        ///   - upstreams: The number of the host's servers, which deny every name.
        ///   - settings: Changes the service's settings.
        /// - Throws: If a namespace or socket cannot be created.
        init(upstreams: Int = 0, settings: (inout DNSSettings) -> Void = { _ in }) throws {
            links = try LinkedNamespaces(links: 2)
            // The service needs the host's addresses, so it is created in the host's namespace.
            let host = links.host
            fixture = try host.enter { try DNSFixture(upstreams: upstreams, settings: settings) }
            for upstream in fixture.upstreams {
                upstream.answer = { [DNSOctets.answer($0.message, code: 3)] }
            }
        }

        deinit {
            for responder in responders { responder.close() }
        }

        /// Starts a responder.
        func respond(
            on link: Int,
            overIPv6: Bool = false,
            from port: UInt16? = nil,
            _ answer: @escaping ([UInt8]) -> [[UInt8]]
        ) throws {
            let neighbor = links.neighbors[link]
            let outgoing = port.map { port in
                {
                    let socket = try Socket.make(AF_INET, .datagram)
                    let any = Endpoint(address: .anyIPv4, port: port)
                    try Socket.bind(socket, to: SocketAddress(any), named: "stranger")
                    return socket
                }
            }
            responders.append(
                try DatagramResponder(
                    in: neighbor,
                    loop: fixture.loop,
                    socket: { try overIPv6 ? Self.groupIPv6() : Self.groupIPv4(link: link) },
                    outgoing: outgoing,
                    answer: answer
                )
            )
        }

        /// Returns a socket on port 5353 that has joined 224.0.0.251.
        private static func groupIPv4(link: Int) throws -> OwnedDescriptor {
            let socket = try Socket.make(AF_INET, .datagram)
            let any = Endpoint(address: .anyIPv4, port: 5353)
            try Socket.bind(socket, to: SocketAddress(any), named: "responder")
            var group = ip_mreq()
            group.imr_multiaddr.s_addr = UInt32(0xe000_00fb).bigEndian
            group.imr_interface.s_addr = UInt32(0x0a63_0002 | UInt32(link) << 8).bigEndian
            let size = socklen_t(MemoryLayout<ip_mreq>.size)
            let result = setsockopt(
                socket.number,
                Int32(IPPROTO_IP),
                IP_ADD_MEMBERSHIP,
                &group,
                size
            )
            #expect(result == 0)
            return socket
        }

        private static func groupIPv6() throws -> OwnedDescriptor {
            let socket = try Socket.make(AF_INET6, .datagram)
            let any = Endpoint(address: .anyIPv6, port: 5353)
            try Socket.bind(socket, to: SocketAddress(any), named: "responder")
            var group = ipv6_mreq()
            withUnsafeMutableBytes(of: &group.ipv6mr_multiaddr) { octets in
                (octets[0], octets[1], octets[15]) = (0xff, 2, 0xfb)
            }
            group.ipv6mr_interface = if_nametoindex("peer")
            let size = socklen_t(MemoryLayout<ipv6_mreq>.size)
            let result = setsockopt(
                socket.number,
                Int32(IPPROTO_IPV6),
                IPV6_JOIN_GROUP,
                &group,
                size
            )
            #expect(result == 0)
            return socket
        }

        /// Sends a query and waits for its answer; the clock stands still.
        func answer(to query: [UInt8]) throws -> [UInt8] {
            try links.host.enter { try fixture.answer(to: query) }
        }

        /// Sends a query and lets the lookup's second pass.
        func lateAnswer(to query: [UInt8]) throws -> [UInt8] {
            try links.host.enter {
                fixture.ask(query)
                try fixture.run { fixture.service.counters.multicast.lookups == 1 }
                try fixture.settle()
                let before = fixture.recorder.sent.count
                try fixture.pass(.milliseconds(1_010))
                try fixture.run { fixture.recorder.sent.count > before }
                return try #require(fixture.recorder.sent.last).payload
            }
        }
    }

    /// Returns a responder that has `printer.local` at one IPv4 address.
    private static func printer(at address: [UInt8]) -> ([UInt8]) -> [[UInt8]] {
        { query in
            let name = query.dropFirst(12).dropLast(4).map(\.foldedASCII)
            guard name == DNSOctets.name("printer.local"),
                query[query.count - 3] == 1
            else { return [] }
            let record = MulticastOctets.record([0xc0, 12], type: 1, address)
            return [MulticastOctets.response(to: query, answers: [record])]
        }
    }

    @Test(
        "finds a name that the host's servers deny, or that none is there for",
        arguments: [0, 1]
    )
    func findsAName(servers: Int) throws {
        let scene = try Scene(upstreams: servers)
        try scene.respond(on: 1, Self.printer(at: [10, 99, 1, 7]))
        let answer = try scene.answer(to: DNSOctets.query("Printer.Local"))
        #expect(
            answer
                == [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
                + DNSOctets.name("Printer.Local") + [0, 1, 0, 1]
                + [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 10, 99, 1, 7]
        )
        let query = try #require(scene.responders[0].received.first)
        // RFC 6762, section 5.1: not from 5353, no flags, one question.
        #expect(query.sender.port != 5353)
        #expect(query.message.dropFirst(2).prefix(10) == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    @Test func `asks over IPv6 as well`() throws {
        let scene = try Scene()
        try scene.respond(on: 0, overIPv6: true, Self.printer(at: [10, 99, 0, 7]))
        #expect(try scene.answer(to: Self.printer).suffix(4) == [10, 99, 0, 7])
        #expect(scene.responders[0].received.first?.sender.address.isLinkLocal == true)
    }

    @Test func `a name without an IPv6 address is no name that does not exist`() throws {
        let scene = try Scene()
        try scene.respond(on: 0, Self.printer(at: [10, 99, 0, 7]))
        try scene.links.host.enter {
            scene.fixture.ask(DNSOctets.query("printer.local", type: 28, id: 2))
            scene.fixture.ask(Self.printer)
            try scene.fixture.run { scene.fixture.recorder.sent.count == 1 }
            try scene.fixture.pass(.milliseconds(260))
            try scene.fixture.run { scene.fixture.recorder.sent.count == 2 }
        }
        let answer = try #require(scene.fixture.recorder.sent.last).payload
        #expect(answer.prefix(4) == [0, 2, 0x85, 0x80])
        #expect(answer[6...9] == [0, 0, 0, 1])
        // One lookup for both families.
        #expect(scene.fixture.service.counters.multicast.lookups == 1)
    }

    @Test func `an unknown name gets the server's own answer after a second`() throws {
        let scene = try Scene(upstreams: 1)
        let answer = try scene.lateAnswer(to: Self.printer)
        #expect(answer == DNSOctets.answer(Self.printer, code: 3))
        #expect(scene.fixture.service.counters.inFlight == 0)
    }

    @Test(
        "does not believe strangers",
        arguments: ["another identifier", "another port", "another network", "another name"]
    )
    func doesNotBelieve(what: String) throws {
        let scene = try Scene(upstreams: 1)
        let honest = Self.printer(at: [10, 99, 0, 7])
        if what == "another network" {
            // The address is on the same link, but in no network that the host has there.
            let neighbor = scene.links.neighbors[0]
            try neighbor.run("ip", "address", "add", "198.51.100.9/32", "dev", "peer")
            try neighbor.run(
                "ip",
                "route",
                "replace",
                "10.99.0.0/24",
                "dev",
                "peer",
                "src",
                "198.51.100.9"
            )
        }
        try scene.respond(on: 0, from: what == "another port" ? 5354 : nil) { query in
            honest(query).map { message in
                var message = message
                if what == "another identifier" { message[1] ^= 1 }
                if what == "another name" { message[13] ^= 1 }
                return message
            }
        }
        #expect(DNSOctets.code(try scene.lateAnswer(to: Self.printer)) == 3)
        #expect(!scene.responders[0].received.isEmpty)
    }

    @Test(
        "an answer does not lead a guest elsewhere",
        arguments: [
            [127, 0, 0, 1], [0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255],
            [192, 168, 127, 254],
            [192, 168, 127, 3], [169, 254, 169, 254],
        ] as [[UInt8]]
    )
    func doesNotLeadElsewhere(address: [UInt8]) throws {
        let scene = try Scene(upstreams: 1)
        try scene.respond(on: 0, Self.printer(at: address))
        let answer = try scene.lateAnswer(to: Self.printer)
        #expect(DNSOctets.code(answer) == 0)
        #expect(answer[7] == 0)
    }

    @Test func `a company's own local zone is believed`() throws {
        let scene = try Scene(upstreams: 1)
        let authority = MulticastOctets.record(
            DNSOctets.name("corp.local"),
            type: 6,
            recordClass: [0, 1],
            DNSOctets.name("ns") + DNSOctets.name("root") + [UInt8](repeating: 0, count: 20)
        )
        scene.fixture.upstreams[0].answer = { query in
            var answer = DNSOctets.answer(query.message, code: 3, records: authority)
            answer[9] = 1
            return [answer]
        }
        let answer = try scene.answer(to: DNSOctets.query("host.corp.local"))
        #expect(DNSOctets.code(answer) == 3)
        #expect(scene.fixture.service.counters.multicast.lookups == 0)
    }

    @Test("a server's answer is used as it is", arguments: [0, 1, 4] as [UInt8])
    func usesTheServersAnswer(code: UInt8) throws {
        let scene = try Scene(upstreams: 1)
        scene.fixture.upstreams[0].answer = { [DNSOctets.answer($0.message, code: code)] }
        #expect(DNSOctets.code(try scene.answer(to: Self.printer)) == code)
        #expect(scene.fixture.service.counters.multicast.lookups == 0)
    }

    @Test func `silent servers leave time for the links before a guest gives up`() throws {
        let scene = try Scene(upstreams: 1)
        scene.fixture.upstreams[0].answer = { _ in [] }
        try scene.respond(on: 0, Self.printer(at: [10, 99, 0, 7]))
        try scene.links.host.enter {
            scene.fixture.ask(Self.printer)
            for _ in 0..<4 { try scene.fixture.pass(.milliseconds(1_000)) }
            try scene.fixture.run { scene.fixture.recorder.sent.count == 1 }
        }
        #expect(scene.fixture.recorder.sent[0].payload.suffix(4) == [10, 99, 0, 7])
    }

    @Test func `switched off, nothing goes to the links`() throws {
        let scene = try Scene { $0.usesMulticast = false }
        try scene.respond(on: 0, Self.printer(at: [10, 99, 0, 7]))
        #expect(DNSOctets.code(try scene.answer(to: Self.printer)) == 2)
        try scene.fixture.settle()
        #expect(scene.responders[0].received.isEmpty)
    }

    @Test func `32 names at a time, and no more sockets than that`() throws {
        let scene = try Scene()
        try scene.links.host.enter {
            for id in 0..<100 as Range<UInt16> {
                scene.fixture.ask(DNSOctets.query("name\(id).local", id: id))
            }
            // Names beyond the limit get only the servers' answer.
            #expect(scene.fixture.recorder.sent.count == 68)
            #expect(scene.fixture.service.counters.upstreamSockets == 64)
            try scene.fixture.pass(.milliseconds(1_010))
            #expect(scene.fixture.recorder.sent.count == 100)
        }
        #expect(scene.fixture.service.counters.upstreamSockets == 0)
        #expect(scene.fixture.recorder.sent.allSatisfy { DNSOctets.code($0.payload) == 2 })
    }
}
