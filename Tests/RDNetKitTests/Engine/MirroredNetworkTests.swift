import Testing

@testable import RDNetKit

/// The guest has the host's address 192.168.127.2 in the host's network.
@Suite("the host's own network for a guest")
struct MirroredNetworkTests {
    private static let resolver = IPAddress(ipv4: 0xa9fe_0101)
    private static let mirror = MirroredNetwork(guest: ScriptedGuest.address, resolver: resolver)

    private func plan(
        mappingGateway: Bool = true,
        _ mirror: MirroredNetwork = MirroredNetworkTests.mirror
    ) -> GatewayPlan {
        var network = NetworkSettings()
        network.prefixChoice = .off
        network.mirror = mirror
        if mappingGateway {
            let seen = network.gateway
            network.translations = [AddressTranslation(seen: seen, host: .loopbackIPv4)]
            network.virtualAddresses = [seen]
        }
        return GatewayPlan(network)
    }

    @Test(
        "its machines are reached through the host",
        arguments: [
            ("192.168.127.1", .host(.loopbackIPv4)),
            ("192.168.127.9", .host(IPAddress(ipv4: 0xc0a8_7f09))),
            ("192.168.127.254", .host(IPAddress(ipv4: 0xc0a8_7ffe))),
            ("198.51.100.1", .host(IPAddress(ipv4: 0xc633_6401))),
            ("169.254.1.1", .gateway),
            ("192.168.127.0", .nowhere),
            ("192.168.127.2", .nowhere),
            ("192.168.127.255", .nowhere),
            ("127.0.0.1", .nowhere),
            ("169.254.169.254", .refused),
        ] as [(String, GatewayPlan.Destination)]
    )
    func destinations(address: String, destination: GatewayPlan.Destination) throws {
        #expect(plan().destination(of: try #require(IPAddress(address))) == destination)
    }

    @Test func `without a map, the gateway is the host's router, not the host`() {
        let plan = plan(mappingGateway: false)
        #expect(plan.destination(of: plan.gateway) == .host(plan.gateway))
        #expect(!plan.isOwn(plan.gateway))
        #expect(plan.seenByGuests(plan.gateway) == plan.gateway)
    }

    @Test func `without a resolver, no address has services`() {
        let plan = plan(MirroredNetwork(guest: ScriptedGuest.address))
        #expect(plan.destination(of: Self.resolver) == .refused)
        #expect(plan.destination(of: plan.gateway) == .host(.loopbackIPv4))
    }

    private func answers(
        to target: IPAddress,
        from sender: IPAddress = ScriptedGuest.address
    ) throws -> [IPAddress] {
        let guest = try ScriptedGuest(mirror: Self.mirror)
        guest.send(
            GuestWire.ARP(
                operation: .request,
                senderMAC: ScriptedGuest.mac,
                senderAddress: sender,
                targetMAC: MACAddress(rawValue: 0),
                targetAddress: target
            )
        )
        try guest.settle()
        return try guest.takeARP().map { $0.packet.senderAddress }
    }

    @Test(
        "the gateway answers ARP for every other machine, in any network",
        arguments: ["192.168.127.1", "192.168.127.9", "192.168.127.254", "169.254.1.1", "10.0.0.1"]
    )
    func otherMachines(address: String) throws {
        let target = try #require(IPAddress(address))
        #expect(try answers(to: target) == [target])
    }

    @Test(
        "an address that the guest has, checks or announces is its own (RFC 5227)",
        arguments: [
            ("192.168.127.2", "0.0.0.0"), ("192.168.127.2", "192.168.127.2"),
            ("192.168.127.7", "192.168.127.7"), ("0.0.0.0", "192.168.127.2"),
        ]
    )
    func ownAddress(target: String, sender: String) throws {
        let target = try #require(IPAddress(target))
        #expect(try answers(to: target, from: try #require(IPAddress(sender))) == [])
    }

    @Test(
        "a silenced transport reaches nothing beyond the gateway",
        arguments: [
            (SilencedTransports.tcp, IPProtocol.tcp), (.udp, IPProtocol.udp),
            (.icmp, IPProtocol.icmp),
        ]
    )
    func silenced(transports: SilencedTransports, transport: UInt8) throws {
        var plan = plan()
        let remote = Endpoint(address: IPAddress(ipv4: 0xc633_6401), port: 53)
        #expect(
            Admission(plan).decide(transport, from: ScriptedGuest.address, to: remote)
                == .host(remote)
        )
        plan.silenced = transports
        let admission = Admission(plan)
        #expect(
            admission.decide(transport, from: ScriptedGuest.address, to: remote) == .drop(.noRoute)
        )
        let resolver = Endpoint(address: Self.resolver, port: 53)
        #expect(
            admission.decide(transport, from: ScriptedGuest.address, to: resolver) == .gateway
        )
    }
}
