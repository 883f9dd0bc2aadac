import Testing

@testable import RDNetKit

@Suite("DHCP server")
struct DHCPServerTests {
    private let gateway = "192.168.127.1"
    private let stranger = DHCPServerScene.mac(0x0200_0000_0001)

    @Test func `RFC 2131 4.3.1: offers an address with every parameter`() throws {
        let scene = try DHCPServerScene(domains: ["lan", "corp.example"])
        let offer = try #require(try scene.reply(to: DHCPServerScene.message(.discover)))
        #expect(offer.type == .offer)
        #expect(offer.operation == .reply)
        #expect(offer.transactionID == 0xdead_beef)
        #expect("\(offer.yourAddress)" == "192.168.127.2")
        #expect(offer.clientAddress == .anyIPv4)
        #expect(offer.nextServer == .anyIPv4)
        let options: [(Int, [UInt8])] = [
            (1, [255, 255, 255, 0]), (3, [192, 168, 127, 1]), (6, [192, 168, 127, 1]),
            (15, Array("lan".utf8)), (26, [0x05, 0xdc]), (28, [192, 168, 127, 255]),
            (51, [0, 0, 0x0e, 0x10]), (53, [2]), (54, [192, 168, 127, 1]),
            (58, [0, 0, 0x07, 0x08]), (59, [0, 0, 0x0c, 0x4e]),
            (119, DHCPDomainSearch.octets(["lan", "corp.example"])),
        ]
        #expect(offer.options.codes.map { Int($0.rawValue) } == options.map(\.0))
        for (code, value) in options {
            let code = DHCPOptionCode(rawValue: UInt8(code))
            #expect(offer.options[code] == value, "option \(code.rawValue)")
        }
    }

    @Test func `leaves options 15 and 119 out when there are no domains`() throws {
        let scene = try DHCPServerScene()
        let offer = try #require(try scene.reply(to: DHCPServerScene.message(.discover)))
        #expect(offer.options[.domainSearch] == nil)
        #expect(offer.options[.domainName] == nil)
    }

    @Test func `only a client that requests it learns about IPv6`() throws {
        let scene = try DHCPServerScene()
        scene.server.ipv6 = IPv6Offer(prefix: .standard, hasDefaultRoute: true)
        var discover = DHCPServerScene.message(.discover)
        #expect(try scene.reply(to: discover)?.options[.ipv6Offer] == nil)
        discover.options[.parameterRequestList] = [1, 3, 224]
        let value = try #require(try scene.reply(to: discover)?.options[.ipv6Offer])
        let expected: [UInt8] =
            Array("RDNT".utf8) + [1]  // version
            + [1]  // flags: default route
            + [64]  // prefix length
            + [0xfd, 0xc0, 0xa8, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(value == expected)
        scene.server.ipv6 = nil
        #expect(try scene.reply(to: discover)?.options[.ipv6Offer] == nil)
    }

    @Test func `answers are at least 300 octets`() throws {
        let scene = try DHCPServerScene()
        #expect(scene.response(to: DHCPServerScene.message(.discover))?.octets.count == 300)
    }

    @Test func `RFC 6842 and RFC 3046: client identifier and relay information come back`() throws {
        let scene = try DHCPServerScene()
        var discover = DHCPServerScene.message(.discover)
        discover.options[.clientIdentifier] = [0, 1, 2, 3]
        discover.options[.relayAgentInformation] = [1, 2, 0xab, 0xcd]
        let offer = try #require(try scene.reply(to: discover))
        #expect(offer.options[.clientIdentifier] == [0, 1, 2, 3])
        #expect(offer.options[.relayAgentInformation] == [1, 2, 0xab, 0xcd])
    }

    @Test func `RFC 2132 9.10: a long search list is cut to what the client takes`() throws {
        let domains = (0..<60).map { "department-\($0).example.com" }
        let scene = try DHCPServerScene(domains: domains)
        var discover = DHCPServerScene.message(.discover)
        let small = try #require(scene.response(to: discover)).octets
        #expect(small.count <= 548)
        discover.options.set(.maximumMessageSize, to: 1400 as UInt16)
        let large = try #require(scene.response(to: discover)).octets
        #expect((600...1372).contains(large.count))
        let read = try DHCPMessage(reading: large.span.bytes)
        let kept = DHCPDomainSearch.domains(reading: read.options[.domainSearch] ?? [])
        #expect(kept == Array(domains.prefix(kept.count)))
        #expect(kept.count > 20)
    }

    // MARK: DHCPREQUEST by client state

    @Test func `RFC 2131 4.3.2: SELECTING an offer is acknowledged`() throws {
        let scene = try DHCPServerScene()
        #expect(try scene.lease(to: stranger) == "192.168.127.3")
        let leases = scene.server.leases(now: scene.now).map { "\($0.0) \($0.1)" }
        #expect(leases == ["192.168.127.3 02:00:00:00:00:01"])
    }

    @Test func `RFC 2131 4.3.2: SELECTING another server frees the offer, silently`() throws {
        let scene = try DHCPServerScene(subnet: "192.168.127.0/29")
        for number in 1...3 as ClosedRange<UInt64> {
            _ = scene.response(
                to: DHCPServerScene.message(.discover, from: DHCPServerScene.mac(number))
            )
        }
        let late = DHCPServerScene.message(.discover, from: stranger)
        #expect(scene.response(to: late) == nil)
        let other = DHCPServerScene.message(
            .request,
            from: DHCPServerScene.mac(2),
            requesting: "192.168.127.4",
            server: "192.168.127.9"
        )
        #expect(scene.response(to: other) == nil)
        #expect(try scene.reply(to: late).map { "\($0.yourAddress)" } == "192.168.127.4")
    }

    @Test func `RFC 2131 4.3.2: SELECTING after the offer lapsed gets it if it is still free`()
        throws
    {
        let scene = try DHCPServerScene()
        let offer = try scene.reply(to: DHCPServerScene.message(.discover, from: stranger))
        #expect(offer.map { "\($0.yourAddress)" } == "192.168.127.3")
        scene.now = scene.now + .seconds(61)
        let request = DHCPServerScene.message(
            .request,
            from: stranger,
            requesting: "192.168.127.3",
            server: gateway
        )
        #expect(try scene.reply(to: request)?.type == .ack)
    }

    @Test func `RFC 2131 4.3.2: INIT-REBOOT with its address is acknowledged`() throws {
        let scene = try DHCPServerScene()
        let address = try #require(try scene.lease(to: stranger))
        let reboot = DHCPServerScene.message(.request, from: stranger, requesting: address)
        let ack = try #require(try scene.reply(to: reboot))
        #expect(ack.type == .ack)
        #expect("\(ack.yourAddress)" == address)
    }

    @Test(
        "RFC 2131 4.3.2: a client that asks for what it cannot have is refused by broadcast",
        arguments: [
            ("10.0.0.5", "another network"), ("192.168.127.2", "another's fixed address"),
            ("192.168.127.1", "the gateway"), ("192.168.127.254", "the host alias"),
            ("192.168.127.0", "the network"), ("192.168.127.255", "the broadcast address"),
            ("192.168.127.3", "another's lease"),
        ]
    )
    func impossibleAddressIsRefused(address: String, why: String) throws {
        let scene = try DHCPServerScene()
        #expect(try scene.lease(to: DHCPServerScene.mac(0x99)) == "192.168.127.3")
        let requests = [
            DHCPServerScene.message(.request, from: stranger, requesting: address),
            DHCPServerScene.message(.request, from: stranger, holding: address),
            DHCPServerScene.message(.request, from: stranger, requesting: address, server: gateway),
        ]
        for request in requests {
            let response = try #require(scene.response(to: request), "\(why)")
            let nak = try DHCPMessage(reading: response.octets.span.bytes)
            #expect(nak.type == .nak, "\(why)")
            #expect(nak.yourAddress == .anyIPv4)
            #expect(nak.options[.leaseTime] == nil)
            #expect("\(response.destination)" == "255.255.255.255:68")
            #expect(response.destinationMAC == .broadcast)
        }
        #expect(scene.server.statistics.refusals == 3)
    }

    @Test func `a client of a restarted server keeps its address`() throws {
        let scene = try DHCPServerScene()
        let renewal = DHCPServerScene.message(.request, from: stranger, holding: "192.168.127.77")
        let ack = try #require(try scene.reply(to: renewal))
        #expect(ack.type == .ack)
        #expect("\(ack.yourAddress)" == "192.168.127.77")
    }

    @Test func `RFC 2131 4.3.2: RENEWING extends the lease and is answered by unicast`() throws {
        let scene = try DHCPServerScene()
        let address = try #require(try scene.lease(to: stranger))
        scene.now = scene.now + .seconds(3000)
        let renewal = DHCPServerScene.message(.request, from: stranger, holding: address)
        let response = try #require(scene.response(to: renewal))
        #expect("\(response.destination)" == "\(address):68")
        #expect(response.destinationMAC == stranger)
        #expect(try DHCPMessage(reading: response.octets.span.bytes).type == .ack)
        scene.now = scene.now + .seconds(3599)
        #expect(scene.server.leases(now: scene.now).count == 1)
        scene.now = scene.now + .seconds(1)
        #expect(scene.server.leases(now: scene.now).isEmpty)
    }

    @Test func `a request without any address is counted and not answered`() throws {
        let scene = try DHCPServerScene()
        #expect(scene.response(to: DHCPServerScene.message(.request, server: gateway)) == nil)
        #expect(scene.server.statistics.malformed == 1)
    }

    // MARK: The other messages

    @Test func `RFC 2131 4.3.3: a declined address is in quarantine for ten minutes`() throws {
        let scene = try DHCPServerScene()
        let address = try #require(try scene.lease(to: stranger))
        let decline = DHCPServerScene.message(
            .decline,
            from: stranger,
            requesting: address,
            server: gateway
        )
        #expect(scene.response(to: decline) == nil)
        #expect(scene.server.statistics.declines == 1)
        #expect(try scene.lease(to: stranger) == "192.168.127.4")
        let wish = DHCPServerScene.message(
            .request,
            from: DHCPServerScene.mac(7),
            requesting: address
        )
        #expect(try scene.reply(to: wish)?.type == .nak)
        scene.now = scene.now + .seconds(600)
        #expect(try scene.reply(to: wish)?.type == .ack)
    }

    @Test func `a stranger cannot decline or release another's address`() throws {
        let scene = try DHCPServerScene()
        let address = try #require(try scene.lease(to: stranger))
        for type in [DHCPMessageType.decline, .release] {
            let forged = DHCPServerScene.message(
                type,
                from: DHCPServerScene.mac(0x66),
                requesting: address,
                holding: address
            )
            #expect(scene.response(to: forged) == nil)
        }
        #expect(scene.server.leases(now: scene.now).count == 1)
        #expect(scene.server.statistics.ignored == 2)
    }

    @Test("nobody ends a lease in another's name", arguments: [DHCPMessageType.decline, .release])
    func forgedEnd(type: DHCPMessageType) throws {
        let scene = try DHCPServerScene()
        let victim = DHCPServerScene.mac(0x0200_0000_0001)
        let address = try #require(try scene.lease(to: victim))
        var forged = DHCPServerScene.message(
            type,
            from: victim,
            requesting: address,
            holding: address
        )
        for relay in [IPAddress.anyIPv4, DHCPServerScene.address("192.168.127.9")] {
            forged.relayAgent = relay
            let sender = DHCPServerScene.mac(0x0200_0000_0002)
            #expect(scene.response(to: forged, sender: sender) == nil)
        }
        #expect(scene.server.statistics.ignored == 2)
        #expect(scene.server.leases(now: scene.now).map { "\($0.0)" } == [address])
    }

    @Test func `RFC 2131 4.3.4: a released address is free, and its client gets it back`() throws {
        let scene = try DHCPServerScene()
        let address = try #require(try scene.lease(to: stranger))
        let release = DHCPServerScene.message(.release, from: stranger, holding: address)
        #expect(scene.response(to: release) == nil)
        #expect(scene.server.leases(now: scene.now).isEmpty)
        #expect(scene.server.statistics.releases == 1)
        #expect(try scene.lease(to: DHCPServerScene.mac(5)) == "192.168.127.4")
        #expect(try scene.lease(to: stranger) == address)
    }

    @Test func `RFC 2131 4.3.5: DHCPINFORM gets parameters without a lease, by unicast`() throws {
        let scene = try DHCPServerScene(domains: ["lan"])
        let inform = DHCPServerScene.message(.inform, from: stranger, holding: "192.168.127.90")
        let response = try #require(scene.response(to: inform))
        let ack = try DHCPMessage(reading: response.octets.span.bytes)
        #expect(ack.type == .ack)
        #expect(ack.yourAddress == .anyIPv4)
        #expect(ack.options[.leaseTime] == nil)
        #expect(ack.options[.domainSearch] != nil)
        #expect("\(response.destination)" == "192.168.127.90:68")
        let outside = DHCPServerScene.message(.inform, from: stranger, holding: "10.0.0.1")
        #expect(scene.response(to: outside) == nil)
    }

    // MARK: RFC 2131 4.1: where answers go

    @Test(
        "RFC 2131 4.1: a client without an address is answered by broadcast, flag or not",
        arguments: [true, false]
    )
    func answersByBroadcast(flag: Bool) throws {
        let scene = try DHCPServerScene()
        var discover = DHCPServerScene.message(.discover)
        discover.wantsBroadcast = flag
        let response = try #require(scene.response(to: discover))
        #expect("\(response.source)" == "192.168.127.1:67")
        #expect("\(response.destination)" == "255.255.255.255:68")
        #expect(response.destinationMAC == .broadcast)
        let offer = try DHCPMessage(reading: response.octets.span.bytes)
        #expect(offer.wantsBroadcast == flag)
    }

    @Test func `RFC 2131 4.1: a relay agent is answered at port 67`() throws {
        let scene = try DHCPServerScene()
        var discover = DHCPServerScene.message(.discover)
        discover.relayAgent = DHCPServerScene.address("192.168.127.50")
        let response = try #require(scene.response(to: discover))
        #expect("\(response.destination)" == "192.168.127.50:67")
        let offer = try DHCPMessage(reading: response.octets.span.bytes)
        #expect(offer.relayAgent == discover.relayAgent)
        discover.relayAgent = DHCPServerScene.address("10.9.9.9")
        #expect(scene.response(to: discover) == nil)
    }

    @Test func `answers go to the port that the client speaks from`() throws {
        let scene = try DHCPServerScene()
        let response = scene.response(to: DHCPServerScene.message(.discover), port: 1068)
        #expect(response?.destination.port == 1068)
    }

    @Test func `garbage and replies are counted, not answered`() throws {
        let scene = try DHCPServerScene()
        for payload in [[], [1, 2, 3], [UInt8](repeating: 0, count: 300)] as [[UInt8]] {
            let datagram = ServiceDatagram(
                source: Endpoint(address: .anyIPv4, port: 68),
                destination: Endpoint(address: .broadcastIPv4, port: 67),
                sourceMAC: stranger,
                payload: payload
            )
            #expect(scene.server.respond(to: datagram, now: scene.now) == nil)
        }
        #expect(scene.server.statistics.malformed == 3)
        #expect(scene.response(to: DHCPServerScene.message(.offer)) == nil)
        #expect(scene.server.statistics.ignored == 1)
    }

    @Test func `a client may ask for a shorter lease, not for a longer one`() throws {
        let scene = try DHCPServerScene()
        for (asked, given) in [(600, 600), (1, 60), (999_999, 3600)] as [(UInt32, UInt32)] {
            var discover = DHCPServerScene.message(.discover)
            discover.options.set(.leaseTime, to: asked)
            #expect(try scene.reply(to: discover)?.options.integer32(.leaseTime) == given)
        }
    }

    @Test func `lists gateway, static and dynamic addresses in order`() throws {
        let scene = try DHCPServerScene()
        #expect(try scene.lease(to: stranger) == "192.168.127.3")
        let taken = scene.server.takenAddresses(now: scene.now).map { "\($0.0) \($0.1)" }
        #expect(
            taken == [
                "192.168.127.1 5a:94:ef:e4:0c:dd", "192.168.127.2 5a:94:ef:e4:0c:ee",
                "192.168.127.3 02:00:00:00:00:01",
            ]
        )
    }

    @Test func `300 clients on a /24: 251 leases, the others wait without harm`() throws {
        let scene = try DHCPServerScene()
        var given: Set<String> = []
        for number in 1...300 as ClosedRange<UInt64> {
            if let address = try scene.lease(to: DHCPServerScene.mac(0x0200_0000_0000 + number)) {
                given.insert(address)
            }
        }
        // 254 hosts, minus the gateway, the host alias and the guest's fixed address.
        #expect(given.count == 251)
        #expect(scene.server.statistics.exhausted == 49)
        for taken in [".0", ".1", ".2", ".254", ".255"] {
            #expect(!given.contains("192.168.127\(taken)"))
        }
        #expect(try scene.lease(to: DHCPServerScene.guest) == "192.168.127.2")
        scene.now = scene.now + .seconds(3600)
        #expect(try scene.lease(to: DHCPServerScene.mac(0x0400_0000_0001)) != nil)
    }
}
