/// The gateway's DHCP server (RFC 2131, 4.3).
///
/// How it works: the input is a datagram and the time, the output is at most one answer, and the
/// only state is the lease pool and the guests' names. The server is authoritative, because it is
/// the only one in its network. It grants a free address to a client that requests it, even if it
/// does not know the client, because a lease survives a restart of the server. It immediately
/// refuses an address that a client cannot have, although 4.3.2 requires silence from servers that
/// share a wire. When the pool is exhausted, the server counts a new client but does not answer it.
struct DHCPServer {
    /// The parameters of the server.
    struct Configuration {
        var subnet: Subnet
        /// The router and DHCP server.
        var gateway: IPAddress
        var gatewayMAC: MACAddress
        /// Addresses that are never leased, like the gateway's: the host alias, and other addresses
        /// that the gateway answers for.
        var reserved: [IPAddress]
        /// The name servers; nil for the gateway.
        var resolvers: [IPAddress]?
        var mtu: UInt16
        /// The domains in which guests look up names; may be empty.
        var domainSearch: [String]
        var leaseTime: Duration = .seconds(3600)
        var staticLeases: [MACAddress: IPAddress]
    }

    /// The minimum duration of a lease, even if a client requests less.
    static let minimumLease: Duration = .seconds(60)

    private let configuration: Configuration
    /// The addresses, and the numbers that the DHCPv6 server shares.
    var pool: LeasePool
    /// What clients that request it learn about IPv6; nil if there is none.
    var ipv6: IPv6Offer?
    /// Machines that requested it with their latest lease.
    private var ipv6Clients: Set<MACAddress> = []
    private(set) var statistics = Counters()
    /// The host names of the guests with a lease in either family.
    var guestNames = GuestNames()
    /// Called with the source of each frame with DHCPDISCOVER, before the answer.
    var discovered: (MACAddress) -> Void = { _ in }
    /// Called for each new or renewed lease, before the answer.
    var leased: (IPAddress, MACAddress) -> Void = { _, _ in }
    /// Called when a lease begins, is renewed or ends early, after `leased`.
    var leasesChanged: () -> Void = {}
    /// Called for each message in the name of a client on another link.
    var impersonated: () -> Void = {}
    /// Returns the link that a MAC address is on; nil if it is unknown.
    var link: (MACAddress) -> Int? = { _ in nil }

    init(_ configuration: Configuration) {
        self.configuration = configuration
        pool = LeasePool(
            subnet: configuration.subnet,
            reserved: Set([configuration.gateway] + configuration.reserved),
            fixed: configuration.staticLeases
        )
    }

    /// Whether a MAC address is on an attached link.
    var isPresent: (MACAddress) -> Bool {
        get { pool.isPresent }
        set { pool.isPresent = newValue }
    }

    /// Whether a guest on another link than this one uses an address without a lease.
    var isUsedElsewhere: (IPAddress, _ link: Int) -> Bool {
        get { pool.isUsedElsewhere }
        set { pool.isUsedElsewhere = newValue }
    }

    /// The MAC address that an address is reserved for or leased to; nil if there is none.
    func holder(of address: IPAddress, now: Instant) -> MACAddress? {
        pool.holder(of: address, now: now)
    }

    /// The currently bound addresses, in order of address.
    func leases(now: Instant) -> [(IPAddress, MACAddress)] {
        pool.leases(now: now)
    }

    /// All addresses in use (the gateway, static leases and bound addresses), in order of address.
    func takenAddresses(now: Instant) -> [(IPAddress, MACAddress)] {
        var taken = [configuration.gateway: configuration.gatewayMAC]
        for (address, mac) in pool.fixedLeases + pool.leases(now: now) { taken[address] = mac }
        return taken.map { ($0.key, $0.value) }.sorted { $0.0.low < $1.0.low }
    }

    /// Every lease with its holder's host name, also those that have lapsed, in order of address.
    func records(now: Instant) -> [(LeasePool.Record, name: String?)] {
        pool.records.map { ($0, name: guestNames.name(of: $0.address, now: now)) }
    }

    /// Adds a lease of an earlier run.
    ///
    /// - Returns: Whether the holder may still have the address: it is in the subnet, for example.
    mutating func restore(_ record: LeasePool.Record, name: String?, now: Instant) -> Bool {
        var record = record
        record.expires = min(record.expires, now + configuration.leaseTime)
        guard pool.restore(record, now: now) else { return false }
        let name = name.map { Array($0.utf8) }
        guestNames.set(name, of: record.address, until: record.expires, now: now)
        return true
    }

    /// Answers one datagram to port 67.
    ///
    /// - Parameters:
    ///   - datagram: A datagram from any source to any destination.
    ///   - now: The caller's clock.
    /// - Returns: The answer; nil if none is due.
    mutating func respond(to datagram: ServiceDatagram, now: Instant) -> DHCPResponse? {
        let request: DHCPMessage
        do throws(PacketError) {
            request = try DHCPMessage(reading: datagram.payload.span.bytes)
        } catch {
            statistics.malformed += 1
            return nil
        }
        if request.type == .discover { discovered(datagram.sourceMAC) }
        guard let type = request.type, !request.hardwareAddress.isGroup else {
            statistics.malformed += 1
            return nil
        }
        guard request.operation == .request, isOnThisNetwork(request.relayAgent) else {
            statistics.ignored += 1
            return nil
        }
        // Only the machine itself may end its lease, and no relay agent works within one subnet.
        if type == .release || type == .decline,
            request.hardwareAddress != datagram.sourceMAC
        {
            statistics.ignored += 1
            return nil
        }
        let link = link(datagram.sourceMAC)
        // Another guest's client would lose its lease to a request for another address.
        if let home = self.link(request.hardwareAddress), home != link {
            statistics.ignored += 1
            impersonated()
            return nil
        }
        guard let reply = reply(to: request, type, on: link, now: now) else { return nil }
        return DHCPResponse(reply, to: request, in: datagram, from: configuration.gateway)
    }

    private func isOnThisNetwork(_ address: IPAddress) -> Bool {
        address.isUnspecified || configuration.subnet.contains(address)
    }

    private mutating func reply(
        to request: DHCPMessage,
        _ type: DHCPMessageType,
        on link: Int?,
        now: Instant
    ) -> DHCPMessage? {
        let holder = LeasePool.Holder(
            client: LeasePool.Client(of: request),
            hardwareAddress: request.hardwareAddress
        )
        switch type {
        case .discover:
            return offer(to: request, holder, on: link, now: now)
        case .request:
            return answer(request, holder, on: link, now: now)
        case .release:
            release(request, holder, now: now)
            return nil
        case .decline:
            decline(request, holder, now: now)
            return nil
        case .inform:
            return inform(request)
        case .offer, .ack, .nak, .forceRenew:
            statistics.ignored += 1
            return nil
        }
    }

    // MARK: Messages, in the order of a client's life

    private mutating func offer(
        to request: DHCPMessage,
        _ holder: LeasePool.Holder,
        on link: Int?,
        now: Instant
    ) -> DHCPMessage? {
        let wish = request.options.address(.requestedAddress)
        guard let address = pool.offer(to: holder, on: link, requested: wish, now: now) else {
            statistics.exhausted += 1
            return nil
        }
        statistics.offers += 1
        return grant(.offer, address, to: request)
    }

    /// Answers DHCPREQUEST, whose fields show the client's state (4.3.2, table 4).
    private mutating func answer(
        _ request: DHCPMessage,
        _ holder: LeasePool.Holder,
        on link: Int?,
        now: Instant
    ) -> DHCPMessage? {
        let wish = request.options.address(.requestedAddress)
        let current = request.clientAddress.isUnspecified ? nil : request.clientAddress
        // SELECTING names a server, INIT-REBOOT names an address, RENEWING and REBINDING have one.
        if let server = request.options.address(.serverIdentifier), server != configuration.gateway
        {
            pool.withdrawOffer(to: holder, now: now)
            statistics.ignored += 1
            return nil
        }
        guard let address = wish ?? current else {
            statistics.malformed += 1
            return nil
        }
        let duration = leaseTime(for: request)
        guard pool.bind(address, to: holder, on: link, for: duration, now: now) else {
            statistics.refusals += 1
            return refusal(of: address, to: request)
        }
        leased(address, holder.hardwareAddress)
        guestNames.set(
            request.options[.hostName],
            of: address,
            until: now + duration,
            now: now
        )
        statistics.acknowledgments += 1
        leasesChanged()
        if wantsIPv6(request) {
            if ipv6Clients.count >= LeasePool.capacity { ipv6Clients = [] }
            ipv6Clients.insert(holder.hardwareAddress)
        }
        return grant(.ack, address, to: request)
    }

    private mutating func release(
        _ request: DHCPMessage,
        _ holder: LeasePool.Holder,
        now: Instant
    ) {
        if pool.release(request.clientAddress, by: holder, now: now) {
            guestNames.remove(request.clientAddress)
            statistics.releases += 1
            leasesChanged()
        } else {
            statistics.ignored += 1
        }
    }

    private mutating func decline(
        _ request: DHCPMessage,
        _ holder: LeasePool.Holder,
        now: Instant
    ) {
        guard let address = request.options.address(.requestedAddress) else {
            statistics.malformed += 1
            return
        }
        if pool.decline(address, by: holder, now: now) {
            statistics.declines += 1
            leasesChanged()
        } else {
            statistics.ignored += 1
        }
    }

    /// Returns parameters without a lease, for a client that already has an address (4.3.5).
    private mutating func inform(_ request: DHCPMessage) -> DHCPMessage? {
        guard configuration.subnet.contains(request.clientAddress) else {
            statistics.ignored += 1
            return nil
        }
        statistics.acknowledgments += 1
        var reply = answer(.ack, to: request)
        reply.clientAddress = request.clientAddress
        setParameters(&reply, for: request)
        return reply
    }

    // MARK: Replies

    private func wantsIPv6(_ request: DHCPMessage) -> Bool {
        request.options[.parameterRequestList]?.contains(DHCPOptionCode.ipv6Offer.rawValue) ?? false
    }

    /// Asks every client that has requested `ipv6` to renew its lease, because that has changed
    /// (RFC 3203).
    func renewalCalls(now: Instant) -> [(message: DHCPMessage, client: IPAddress)] {
        pool.leases(now: now).filter { ipv6Clients.contains($0.1) }.map { address, mac in
            var call = DHCPMessage(.forceRenew, transactionID: 0, hardwareAddress: mac)
            call.clientAddress = address
            call.options.set(.serverIdentifier, to: [configuration.gateway])
            return (call, address)
        }
    }

    /// Creates a reply with the common fields: the relay agent's, the server, and echoed options.
    private func answer(_ type: DHCPMessageType, to request: DHCPMessage) -> DHCPMessage {
        var reply = DHCPMessage(
            type,
            transactionID: request.transactionID,
            hardwareAddress: request.hardwareAddress
        )
        reply.flags = request.flags
        reply.relayAgent = request.relayAgent
        reply.options.set(.serverIdentifier, to: [configuration.gateway])
        // RFC 6842, section 3, and RFC 3046, section 2.2.
        for code in [DHCPOptionCode.clientIdentifier, .relayAgentInformation] {
            reply.options[code] = request.options[code]
        }
        return reply
    }

    private func grant(
        _ type: DHCPMessageType,
        _ address: IPAddress,
        to request: DHCPMessage
    ) -> DHCPMessage {
        var reply = answer(type, to: request)
        if type == .ack { reply.clientAddress = request.clientAddress }
        reply.yourAddress = address
        let seconds = UInt32(truncatingIfNeeded: leaseTime(for: request).components.seconds)
        reply.options.set(.leaseTime, to: seconds)
        reply.options.set(.renewalTime, to: seconds / 2)
        reply.options.set(.rebindingTime, to: seconds / 8 * 7)
        setParameters(&reply, for: request)
        return reply
    }

    private func refusal(of address: IPAddress, to request: DHCPMessage) -> DHCPMessage {
        var reply = answer(.nak, to: request)
        reply.options[.message] = Array("\(address) is not available to this client".utf8)
        // RFC 2131, 4.3.2: makes the relay agent broadcast the reply to a client without an
        // address.
        if !request.relayAgent.isUnspecified { reply.wantsBroadcast = true }
        return reply
    }

    private func setParameters(_ reply: inout DHCPMessage, for request: DHCPMessage) {
        let limit = sizeLimit(of: request)
        reply.options.set(.subnetMask, to: [configuration.subnet.mask])
        reply.options.set(.router, to: [configuration.gateway])
        let resolvers = configuration.resolvers ?? [configuration.gateway]
        if !resolvers.isEmpty { reply.options.set(.domainNameServer, to: resolvers) }
        reply.options.set(.broadcastAddress, to: [configuration.subnet.broadcast])
        reply.options.set(.interfaceMTU, to: configuration.mtu)
        if let ipv6, wantsIPv6(request) { reply.options[.ipv6Offer] = ipv6.octets }
        var domains = configuration.domainSearch.filter(DHCPDomainSearch.isDomain)
        if let first = domains.first { reply.options[.domainName] = Array(first.utf8) }
        repeat {
            // An empty option 119 is an error (RFC 3397, section 2, requires at least one name).
            let list = DHCPDomainSearch.octets(domains)
            reply.options[.domainSearch] = list.isEmpty ? nil : list
        } while reply.octets.count > limit && domains.popLast() != nil
    }

    /// The largest UDP payload that the client accepts (RFC 2132, 9.10) and that this network
    /// carries without fragments.
    private func sizeLimit(of request: DHCPMessage) -> Int {
        let headers = 28
        let asked = request.options.integer16(.maximumMessageSize).map { Int($0) - headers } ?? 0
        return max(min(asked, Int(configuration.mtu) - headers), DHCPMessage.commonLimit)
    }

    private func leaseTime(for request: DHCPMessage) -> Duration {
        guard let asked = request.options.integer32(.leaseTime) else {
            return configuration.leaseTime
        }
        return min(max(.seconds(Int64(asked)), Self.minimumLease), configuration.leaseTime)
    }
}
