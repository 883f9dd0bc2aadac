/// The gateway's DHCPv6 server (RFC 8415, 18.3).
///
/// How it works: the input is a datagram and the time, the output is at most one answer. The lease
/// pool is that of the DHCP server for IPv4: a machine has the same number in both families. A
/// machine is an Ethernet source, because a client may put anything into its messages, but the
/// switch knows who sent a frame. Each machine has one address, which goes to its first identity
/// association. The server is authoritative, because it is the only one in its network: it answers
/// at once and with the highest preference, it also leases an address that it does not remember,
/// because a lease survives a restart of the server, and it names the address that a client should
/// have instead. Clients get no temporary addresses and no prefixes. Relay agents are ignored.
struct DHCPv6Server {
    /// The parameters of the server.
    struct Configuration {
        var prefix: IPv6Prefix
        /// The subnet with the same numbers.
        var subnet: Subnet
        /// The server's identifier is derived from it.
        var gatewayMAC: MACAddress
        /// Name servers, in order of preference; may be empty.
        var resolvers: [IPAddress]
        /// The domains in which guests look up names; may be empty.
        var domainSearch: [String]
        var leaseTime: Duration = .seconds(3600)
        /// The only address to lease, and its number, if the prefix has no numbered addresses.
        var onlyAddress: (number: IPAddress, address: IPAddress)?
    }

    /// The highest preference: a client does not wait for other servers (RFC 8415, 18.2.1).
    private static let preference: UInt8 = 255

    let configuration: Configuration
    var statistics = Counters()
    /// Called for each new or renewed lease, before the answer.
    var leased: (IPAddress, MACAddress) -> Void = { _, _ in }
    /// Called with the first label of the name that a client sent with its lease; nil if it sent
    /// none, or if the lease ended.
    var named: (IPAddress, [UInt8]?) -> Void = { _, _ in }
    /// Called when a lease begins, is renewed or ends early, after `leased`.
    var leasesChanged: () -> Void = {}
    /// Returns the link that a MAC address is on; nil if it is unknown.
    var link: (MACAddress) -> Int? = { _ in nil }

    init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// The server's identifier (DUID-LL; RFC 8415, 11.4), the same after each start.
    var identifier: [UInt8] { [0, 3, 0, 1] + configuration.gatewayMAC.octets }

    /// A machine's lease, which may have lapsed.
    struct Lease: Equatable {
        var address: IPAddress
        var mac: MACAddress
        /// When it ends or ended.
        var expires: Instant
    }

    /// The currently bound addresses, in order of address.
    func leases(in pool: LeasePool, now: Instant) -> [Lease] {
        records(in: pool).filter { $0.expires > now }
    }

    /// Every lease, also those that have lapsed, in order of address.
    func records(in pool: LeasePool) -> [Lease] {
        pool.ipv6Records.compactMap { record in
            address(with: record.number).map {
                Lease(address: $0, mac: record.mac, expires: record.expires)
            }
        }
    }

    /// Adds a lease of an earlier run.
    ///
    /// - Returns: Whether its holder may still have the address: it is in the prefix, for example.
    func restore(_ lease: Lease, in pool: inout LeasePool, now: Instant) -> Bool {
        guard let number = number(of: lease.address) else { return false }
        let expires = min(lease.expires, now + configuration.leaseTime)
        let record = LeasePool.IPv6Record(number: number, mac: lease.mac, expires: expires)
        return pool.restore(record, now: now)
    }

    /// Answers one datagram to port 547; what is called meanwhile must not use the pool.
    ///
    /// - Parameters:
    ///   - datagram: A datagram from a guest; its destination is a group or the gateway.
    ///   - pool: The leases of both families.
    ///   - now: The caller's clock.
    /// - Returns: The UDP payload for the source of the datagram; nil if no answer is due.
    mutating func respond(
        to datagram: ServiceDatagram,
        leasing pool: inout LeasePool,
        now: Instant
    ) -> [UInt8]? {
        let message: DHCPv6Message
        do throws(PacketError) {
            message = try DHCPv6Message(reading: datagram.payload.span.bytes)
        } catch {
            // Among them are the messages of relay agents.
            statistics[keyPath: error == .notThisFormat ? \Counters.ignored : \.malformed] += 1
            return nil
        }
        guard isValid(message) else {
            statistics.ignored += 1
            return nil
        }
        guard datagram.destination.address.isMulticast else { return refuseUnicast(message) }
        let client = Client(mac: datagram.sourceMAC, link: link(datagram.sourceMAC))
        return reply(to: message, client, &pool, now: now)?.octets
    }

    /// The machine that a message comes from.
    struct Client {
        var mac: MACAddress
        /// Nil if it is unknown.
        var link: Int?
    }

    private mutating func reply(
        to message: DHCPv6Message,
        _ client: Client,
        _ pool: inout LeasePool,
        now: Instant
    ) -> DHCPv6Message? {
        switch message.type {
        case .solicit: advertise(message, client, &pool, now: now)
        case .request, .renew, .rebind: lease(message, client, &pool, now: now)
        case .confirm: confirm(message, client, &pool, now: now)
        case .release, .decline: end(message, client, &pool, now: now)
        case .informationRequest: inform(message)
        case .advertise, .reply, .reconfigure: nil
        }
    }

    // MARK: Validity

    /// Whether a message may be answered (RFC 8415, 16).
    private func isValid(_ message: DHCPv6Message) -> Bool {
        let hasClient = message.clientIdentifier != nil
        let isForThisServer = message.serverIdentifier == identifier
        return switch message.type {
        case .solicit, .confirm, .rebind: hasClient && message.serverIdentifier == nil
        case .request, .renew, .release, .decline: hasClient && isForThisServer
        case .informationRequest:
            (isForThisServer || message.serverIdentifier == nil) && message.associations.isEmpty
        case .advertise, .reply, .reconfigure: false
        }
    }

    /// Answers a message to the gateway's own address, which no client may send without the Server
    /// Unicast option (18.4).
    private mutating func refuseUnicast(_ message: DHCPv6Message) -> [UInt8]? {
        switch message.type {
        case .request, .renew, .release, .decline:
            statistics.refusals += 1
            var reply = head(.reply, to: message)
            reply.options.append(
                DHCPv6Status(code: .useMulticast, message: "send to ff02::1:2")
            )
            return reply.octets
        case .solicit, .confirm, .rebind, .informationRequest, .advertise, .reply, .reconfigure:
            statistics.ignored += 1
            return nil
        }
    }

    // MARK: Messages, in the order of a client's life

    /// Offers an address, or leases it at once to a client that asks for that (18.3.1).
    private mutating func advertise(
        _ message: DHCPv6Message,
        _ client: Client,
        _ pool: inout LeasePool,
        now: Instant
    ) -> DHCPv6Message {
        let commits = message.options[.rapidCommit] != nil
        var reply = head(commits ? .reply : .advertise, to: message)
        if commits {
            reply.options.append(.rapidCommit)
        } else {
            reply.options.append(.preference, [Self.preference])
        }
        let duration = commits ? configuration.leaseTime : nil
        assign(in: &reply, to: message, client, &pool, for: duration, now: now)
        return reply
    }

    /// Answers the associations of a client with its address, and counts the outcome.
    ///
    /// - Parameters:
    ///   - reply: Gets the associations and parameters.
    ///   - message: The client's.
    ///   - client: Its machine.
    ///   - pool: Assigns the number, if the message asks for an address.
    ///   - duration: The duration of the lease; nil for an offer.
    ///   - now: The caller's clock.
    private mutating func assign(
        in reply: inout DHCPv6Message,
        to message: DHCPv6Message,
        _ client: Client,
        _ pool: inout LeasePool,
        for duration: Duration?,
        now: Instant
    ) {
        var number: IPAddress?
        if message.needsAddress {
            number = pool.hold(
                for: client.mac,
                on: client.link,
                requested: requestedNumber(in: message),
                for: duration,
                now: now
            )
        }
        reply.associations = associations(for: message, number: number)
        addParameters(&reply, for: message)
        if message.needsAddress, number == nil {
            statistics.exhausted += 1
        } else if duration == nil {
            statistics.advertisements += 1
        } else {
            if let address = number.flatMap(address(with:)) {
                named(address, message.options.clientLabel)
            }
            committed(number, to: client)
        }
    }

    /// Leases an address or extends its lease (18.3.2, 18.3.4, 18.3.5).
    private mutating func lease(
        _ message: DHCPv6Message,
        _ client: Client,
        _ pool: inout LeasePool,
        now: Instant
    ) -> DHCPv6Message {
        var reply = head(.reply, to: message)
        if message.type == .request, !areAllOnLink(message) {
            statistics.refusals += 1
            reply.associations = message.associations.map { association in
                association.answer(.notOnLink, "not a prefix of this link")
            }
            return reply
        }
        let duration = configuration.leaseTime
        assign(in: &reply, to: message, client, &pool, for: duration, now: now)
        return reply
    }

    /// Tells a client whether it can keep its addresses after it was disconnected (18.3.3).
    private mutating func confirm(
        _ message: DHCPv6Message,
        _ client: Client,
        _ pool: inout LeasePool,
        now: Instant
    ) -> DHCPv6Message? {
        let addresses = message.associations.flatMap(\.addresses).map(\.address)
        guard !addresses.isEmpty else {
            statistics.ignored += 1
            return nil
        }
        let reply = head(.reply, to: message)
        // An address that another machine has is as wrong as one of another link.
        guard
            addresses.allSatisfy({ configuration.prefix.contains($0) }),
            addresses.compactMap(number(of:)).allSatisfy({ number in
                pool.permitsIPv6(number, to: client.mac, on: client.link, now: now)
            })
        else { return refuse(reply) }
        guard let number = addresses.lazy.compactMap(number(of:)).first else {
            return accept(reply, nil, client)
        }
        // The client keeps the address until its lease ends, so nobody else can have it. A machine
        // that has another number in the meantime gets that one when it starts again.
        let held = pool.hold(
            for: client.mac,
            on: client.link,
            requested: number,
            for: configuration.leaseTime,
            now: now
        )
        return held == number ? accept(reply, number, client) : refuse(reply)
    }

    private mutating func accept(
        _ reply: DHCPv6Message,
        _ number: IPAddress?,
        _ client: Client
    ) -> DHCPv6Message {
        var reply = reply
        reply.options.append(DHCPv6Status(code: .success, message: ""))
        committed(number, to: client)
        return reply
    }

    private mutating func refuse(_ reply: DHCPv6Message) -> DHCPv6Message {
        var reply = reply
        statistics.refusals += 1
        reply.options.append(DHCPv6Status(code: .notOnLink, message: "not on this link"))
        return reply
    }

    /// Ends leases: the client needs the addresses no longer, or found another machine there
    /// (18.3.7, 18.3.8).
    private mutating func end(
        _ message: DHCPv6Message,
        _ client: Client,
        _ pool: inout LeasePool,
        now: Instant
    ) -> DHCPv6Message {
        var reply = head(.reply, to: message)
        reply.options.append(DHCPv6Status(code: .success, message: ""))
        var hasChanged = false
        for association in message.associations {
            var wasBound = false
            for number in association.addresses.compactMap({ number(of: $0.address) }) {
                wasBound =
                    message.type == .release
                    ? pool.releaseIPv6(number, by: client.mac, now: now)
                    : pool.declineIPv6(number, by: client.mac, now: now)
                if wasBound {
                    if let address = address(with: number) { named(address, nil) }
                    break
                }
            }
            if wasBound {
                let counter = message.type == .release ? \Counters.releases : \.declines
                statistics[keyPath: counter] += 1
                hasChanged = true
            } else {
                statistics.ignored += 1
                reply.associations.append(association.answer(.noBinding, "no such lease"))
            }
        }
        if hasChanged { leasesChanged() }
        return reply
    }

    /// Returns parameters without a lease (18.3.6).
    private mutating func inform(_ message: DHCPv6Message) -> DHCPv6Message {
        var reply = head(.reply, to: message)
        addParameters(&reply, for: message)
        statistics.replies += 1
        return reply
    }

    private mutating func committed(_ number: IPAddress?, to client: Client) {
        statistics.replies += 1
        guard let address = number.flatMap(address(with:)) else { return }
        leased(address, client.mac)
        leasesChanged()
    }
}

extension DHCPv6Message {
    /// Whether the client asks for an address that the server leases.
    fileprivate var needsAddress: Bool { associations.contains { $0.kind == .addresses } }
}
