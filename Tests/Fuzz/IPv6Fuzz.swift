/// Neighbor discovery and DHCPv6.
enum IPv6Fuzz {
    static var cases: [FuzzCase] { [neighborDiscovery, dhcpv6Message, dhcpv6Server] }

    private static let start = Instant(nanoseconds: 1_000_000_000_000)

    /// A message that was read, written and read again is the same.
    private static func neighborDiscovery(_ input: inout FuzzInput) throws {
        let choice = input.octet()
        let envelope = NeighborDiscoveryMessage.Envelope(
            source: choice & 1 == 0 ? linkLocal(.standardGuest) : .anyIPv6,
            destination: choice & 2 == 0 ? .allNodes : IPAddress.gatewayLinkLocal.solicitedNodeGroup
        )
        let octets = input.rest()
        let message = try NeighborDiscoveryMessage(reading: octets.span.bytes, in: envelope)
        let written = message.octets
        let again = try NeighborDiscoveryMessage(reading: written.span.bytes, in: envelope)
        mustHold(again == message, "\(message) became \(again)")
    }

    private static func dhcpv6Message(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        let message = try DHCPv6Message(reading: octets.span.bytes)
        _ = message.options.requestedCodes
        let again = try DHCPv6Message(reading: message.octets.span.bytes)
        mustHold(again == message, "\(message) became \(again)")
    }

    /// A server answers any sequence of datagrams with short answers, and leases no number to two
    /// machines in either family.
    private static func dhcpv6Server(_ input: inout FuzzInput) {
        let subnet = Subnet.standard
        var pool = LeasePool(
            subnet: subnet,
            reserved: [subnet.host(1), subnet.host(-2)],
            fixed: [.standardGuest: subnet.host(2)]
        )
        var server = DHCPv6Server(
            DHCPv6Server.Configuration(
                prefix: .standard,
                subnet: subnet,
                gatewayMAC: .standardGateway,
                resolvers: [IPv6Prefix.standard.address(1)],
                domainSearch: ["example.com"]
            )
        )
        var now = start
        while !input.isEmpty {
            now = now + .milliseconds(1 << Int64(input.number(below: 24)))
            let mac = MACAddress(rawValue: 0x0200_0000_0000 | UInt64(input.number(below: 8)))
            let kind = input.octet()
            if kind & 7 == 0 {
                let holder = LeasePool.Holder(client: .hardware(mac), hardwareAddress: mac)
                let wish = subnet.address(input.number(below: 16))
                _ = pool.bind(wish, to: holder, for: .seconds(3600), now: now)
            } else {
                let payload = Self.payload(&input, addressing: kind & 8 == 0, server.identifier)
                let datagram = ServiceDatagram(
                    source: Endpoint(address: linkLocal(mac), port: 546),
                    destination: Endpoint(address: .allDHCPv6Servers, port: 547),
                    sourceMAC: mac,
                    payload: payload
                )
                let answer = server.respond(to: datagram, leasing: &pool, now: now)
                mustHold((answer?.count ?? 0) <= 4_096, "no answer is that long")
            }
            check(pool, now: now)
        }
    }

    /// A message to the server with identifiers, or any bytes.
    private static func payload(
        _ input: inout FuzzInput,
        addressing: Bool,
        _ identifier: [UInt8]
    ) -> [UInt8] {
        let type = input.octet()
        let rest = input.take(Int(input.octet()))
        guard addressing else { return [type] + rest }
        let client: [UInt8] = [0, 1, 0, 4, 0, 3, 0, 1]
        let server: [UInt8] = [0, 2, 0, UInt8(identifier.count)] + identifier
        return [type, 0, 0, 1] + client + (type & 0x80 == 0 ? server : []) + rest
    }

    /// A link-local address of a machine.
    private static func linkLocal(_ mac: MACAddress) -> IPAddress {
        IPAddress(high: 0xfe80 << 48, low: mac.rawValue)
    }

    private static func check(_ pool: LeasePool, now: Instant) {
        let four = pool.leases(now: now)
        let six = pool.ipv6Records.filter { $0.expires > now }
        mustHold(Set(six.map(\.mac)).count == six.count, "a machine has two numbers")
        let owners = Dictionary(four.map { ($0.0, $0.1) }) { first, _ in first }
        for lease in six {
            mustHold(owners[lease.number] ?? lease.mac == lease.mac, "a number has two machines")
        }
    }
}
