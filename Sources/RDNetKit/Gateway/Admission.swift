/// Decides where guests' flows lead: the only place that knows what a guest may reach.
final class Admission {
    let plan: GatewayPlan
    /// Listening endpoints of this program that guests may not connect to: the API and the links.
    var closedEndpoints: [Endpoint] = []
    /// Returns the guest to which a forward leads from a host endpoint; nil if none does.
    var forwardedGuest: (Endpoint) -> IPAddress? = { _ in nil }
    /// Returns the guest whose UDP mapping a host endpoint is; nil if it is none.
    var mappedGuest: (Endpoint) -> IPAddress? = { _ in nil }
    /// What guests may reach of the host's network; nil for everything.
    var policy: EgressPolicy?
    /// The decisions about datagrams, which a policy makes once for a conversation.
    private(set) var conversations = DatagramConversations()

    /// Creates the rules of a network.
    init(_ plan: GatewayPlan) {
        self.plan = plan
    }

    /// Decides where a new flow leads.
    ///
    /// - Parameters:
    ///   - transport: TCP, UDP or ICMP, which means echo.
    ///   - guest: The sender.
    ///   - remote: The destination as the guest sees it; port 0 for echo.
    ///   - server: What the policy knows of it; nil to look that up.
    /// - Returns: Where it leads, or why it leads nowhere.
    @inline(__always)
    func decide(
        _ transport: UInt8,
        from guest: IPAddress,
        to remote: Endpoint,
        _ server: ServerIdentity? = nil
    ) -> Verdict {
        let verdict = decideByPlan(transport, from: guest, to: remote)
        // Datagrams may be answers to a forward, so a policy hears of them later.
        guard let policy, transport != IPProtocol.udp, case .host(let host) = verdict else {
            return verdict
        }
        let request = EgressPolicy.Request(
            transport: transport == IPProtocol.tcp ? .tcp : .icmp,
            guest: guest,
            remote: remote,
            host: host
        )
        return server.map { policy.decide(request, $0) } ?? policy.decide(request)
    }

    /// Decides whether a datagram may leave that the plan lets through.
    ///
    /// - Parameters:
    ///   - payload: Its first bytes may name its server.
    ///   - guest: The sender.
    ///   - remote: The destination as the guest sees it.
    ///   - host: The destination on the host's network.
    ///   - now: The turn's clock.
    /// - Returns: `host` or `refuse`.
    @inline(__always)
    func decide(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        to remote: Endpoint,
        _ host: Endpoint,
        now: Instant
    ) -> Verdict {
        guard let policy else { return .host(host) }
        return conversations.decide(payload, from: guest, to: remote, host, policy, now: now)
    }

    /// Takes the datagrams that are to leave before the one that was just decided about.
    @inline(__always)
    func takeReleased() -> [[UInt8]] {
        policy == nil ? [] : conversations.takeReleased()
    }

    /// Forgets the conversations that the policy no longer allows, and returns their two ends.
    func revokeConversations() -> [(guest: Endpoint, host: Endpoint)] {
        policy.map { conversations.revoke($0) } ?? []
    }

    @inline(__always)
    private func decideByPlan(
        _ transport: UInt8,
        from guest: IPAddress,
        to remote: Endpoint
    ) -> Verdict {
        switch plan.destination(of: remote.address) {
        case .gateway: return .gateway
        case .nowhere: return .drop(.noRoute)
        case .refused: return .refuse(.refusedDestination)
        case .host(let address):
            let host = Endpoint(address: address, port: remote.port)
            switch transport {
            case IPProtocol.tcp:
                if plan.silenced.contains(.tcp) { return .drop(.noRoute) }
                return decideTCP(host, from: guest)
            case IPProtocol.udp:
                if plan.silenced.contains(.udp) { return .drop(.noRoute) }
                return decideUDP(host, from: guest)
            case _ where plan.silenced.contains(.icmp): return .drop(.noRoute)
            // This program runs, so the host that an alias stands for is up.
            default: return plan.isOwn(remote.address) ? .gateway : .host(host)
            }
        }
    }

    private func decideTCP(_ host: Endpoint, from guest: IPAddress) -> Verdict {
        if closedEndpoints.contains(where: { Socket.isListener($0, at: host) }) {
            return .refuse(.refusedDestination)
        }
        guard plan.isolatesGuests, let other = forwardedGuest(host), other != guest else {
            return .host(host)
        }
        return .refuse(.isolated)
    }

    @inline(__always)
    private func decideUDP(_ host: Endpoint, from guest: IPAddress) -> Verdict {
        guard plan.isolatesGuests, let other = mappedGuest(host), other != guest else {
            return .host(host)
        }
        return .refuse(.isolated)
    }
}
