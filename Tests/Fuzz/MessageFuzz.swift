/// DHCP, DNS, the kernel's messages, and a vhost-user front end.
enum MessageFuzz {
    static func run(_ input: FuzzInput) {
        runFuzzCase(
            input,
            [
                dhcpMessage, dhcpServer, dhcpClient, dnsQuery, dnsAnswer, dnsName, multicast,
                searchList, netlink, socketRequest,
            ] + IPv6Fuzz.cases + VhostFuzz.cases
        )
    }

    private static let guest = MACAddress.standardGuest
    private static let start = Instant(nanoseconds: 1_000_000_000_000)

    // MARK: DHCP

    private static func dhcpMessage(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        let message = try DHCPMessage(reading: octets.span.bytes)
        let again = try DHCPMessage(reading: message.octets.span.bytes)
        mustHold(again == message, "\(message) became \(again)")
        apply(message)
    }

    /// What a lease's values become in files and in a script's environment.
    private static func apply(_ message: DHCPMessage) {
        let change =
            DHCPLease(acknowledgedBy: message).map { LeaseChange.bound($0) } ?? .refused(message)
        for variable in DHCPScriptEnvironment(change, interface: "eth0").variables(inheriting: []) {
            mustHold(!variable.utf8.contains(0), "a variable has a NUL: \(variable)")
        }
    }

    /// A server answers any sequence of datagrams, and leases no address twice.
    private static func dhcpServer(_ input: inout FuzzInput) {
        let subnet = Subnet.standard
        var server = DHCPServer(
            DHCPServer.Configuration(
                subnet: subnet,
                gateway: subnet.host(1),
                gatewayMAC: .standardGateway,
                reserved: [subnet.host(-2)],
                mtu: 1_500,
                domainSearch: ["example.com"],
                staticLeases: [guest: subnet.host(2)]
            )
        )
        var now = start
        while !input.isEmpty {
            now = now + .milliseconds(1 << Int64(input.number(below: 24)))
            let length = 244 + Int(input.octet())
            var payload = input.take(length)
            if payload.count > 28, input.octet() & 1 == 0 {
                payload.replaceSubrange(0..<4, with: [1, 1, 6, 0])
                if payload.count > 240 {
                    payload.replaceSubrange(236..<240, with: [0x63, 0x82, 0x53, 0x63])
                }
            }
            let datagram = ServiceDatagram(
                source: Endpoint(address: .anyIPv4, port: 68),
                destination: Endpoint(address: .broadcastIPv4, port: 67),
                sourceMAC: MACAddress(rawValue: 0x0200_0000_0000 | UInt64(length & 7)),
                payload: payload
            )
            if let response = server.respond(to: datagram, now: now) {
                mustHold(response.octets.count <= 65_507, "no datagram is that long")
            }
        }
        let leases = server.leases(now: now).map(\.0)
        mustHold(Set(leases).count == leases.count, "an address is leased twice")
        mustHold(leases.allSatisfy { subnet.contains($0) }, "a lease outside of the subnet")
    }

    /// A client keeps a deadline or a lease, whatever servers say.
    private static func dhcpClient(_ input: inout FuzzInput) throws {
        var client = DHCPClient(
            DHCPClient.Identity(mac: guest, hostName: "guest"),
            random: CountingGenerator()
        )
        var now = start
        var last: DHCPMessage?
        var actions = client.handle(.started, now: now)
        while true {
            for action in actions {
                switch action {
                case .broadcast(let message), .unicast(let message, _): last = message
                case .configure(let lease, _): apply(lease.message)
                case .deconfigure, .reportSilence, .reportRefusal: break
                }
            }
            if input.isEmpty { break }
            now = now + .milliseconds(1 << Int64(input.number(below: 34)))
            switch input.number(below: 4) {
            case 0: actions = client.handle(.deadlinePassed, now: now)
            case 1: actions = client.handle(.linkRestored, now: now)
            default:
                let octets = input.take(Int(input.integer16() & 0x3ff))
                var message = try DHCPMessage(reading: octets.span.bytes)
                message.transactionID = last?.transactionID ?? 0
                message.operation = .reply
                message.hardwareAddress = guest
                actions = client.handle(.received(message), now: now)
            }
        }
        mustHold(client.nextDeadline != nil || client.lease != nil, "\(client.state)")
    }

    // MARK: DNS

    /// A query's own answers fit its datagram.
    private static func dnsQuery(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        _ = try DNSResourceRecord.records(in: octets.span.bytes)
        let query: DNSQuery
        do {
            query = try DNSQuery(reading: octets)
        } catch .answer(let code) {
            _ = DNSQuery.refusal(code, to: octets)
            return
        } catch {
            return
        }
        let answer = query.answer(.noError, [], zone: 0)
        _ = (HostsTable.localhostAnswer(to: query.question), query.question.name.reverseAddress)
        mustHold(query.fitted(answer).count <= query.datagramLimit, "an answer too long")
        mustHold(query.fitted([UInt8](repeating: 0, count: 65_535)).count <= 4_096)
    }

    /// A server's answer, as long as its length says, to a query of its own.
    private static func dnsAnswer(_ input: inout FuzzInput) throws {
        let question = input.take(Int(input.octet()))
        let query = try DNSQuery(reading: question)
        let answer = input.rest()
        guard query.isAnswered(by: answer) else { return }
        let restored = query.restoring(answer)
        mustHold(restored.count == answer.count, "another length")
        mustHold(query.isAnswered(by: restored), "the restored answer answers no more")
        _ = (query.fitted(restored), DNSName.isLocalZoneDenial(answer))
    }

    /// A name's text is the name again.
    private static func dnsName(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        var offset = 0
        let name = try DNSName(reading: octets.span.bytes, at: &offset)
        mustHold(offset <= octets.count, "the name ends outside")
        mustHold(name.octets.count <= 255, "a name of \(name.octets.count) bytes")
        _ = (name.reverseAddress, name.isShortReverseName, "\(name)")
    }

    /// A response to the question that it repeats.
    private static func multicast(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        var offset = DNSHeader.length
        let question = try DNSQuestion(reading: octets.span.bytes, at: &offset)
        _ = MulticastDNS.response(reading: octets, to: question.name, question.type) { _ in true }
    }

    /// Names from a lease cannot add lines to a resolv.conf.
    private static func searchList(_ input: inout FuzzInput) {
        let domains = DHCPDomainSearch.domains(reading: input.rest())
        mustHold(domains.count <= DHCPDomainSearch.maximumDomains, "too many domains")
        for domain in domains {
            let isPlain = domain.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
            mustHold(isPlain && !domain.isEmpty, "\(domain)")
        }
        mustHold(DHCPDomainSearch.domains(reading: DHCPDomainSearch.octets(domains)) == domains)
    }

    // MARK: The kernel and the child in the namespace

    private static func netlink(_ input: inout FuzzInput) {
        let octets = input.rest()
        for message in NetlinkMessage.messages(reading: octets.span.bytes) {
            _ = (message.errorNumber, message.link, message.interfaceFlags, message.linkKind)
            _ = (message.prefixLength, message.routingTable, message.interfaceAddress)
            _ = (message.mayConcern(link: 1), message.address(5, after: 12))
        }
    }

    private static func socketRequest(_ input: inout FuzzInput) {
        let octets = input.rest()
        if let request = NamespaceSocketRequest(reading: octets.span.bytes) {
            mustHold(request.octets == octets, "\(request)")
        }
        if let reply = NamespaceSocketReply(reading: octets.span.bytes) {
            mustHold(reply.octets == octets, "\(reply)")
        }
    }
}

/// Numbers that are the same in every run.
struct CountingGenerator: RandomNumberGenerator {
    private var state: UInt64 = 0

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return state ^ state >> 31
    }
}
