/// What a policy has decided about datagrams: once for each guest's port and destination.
///
/// Limits: conversations of one guest (the guest's idle ones are forgotten first, then all), and
/// their lifetime without datagrams, which is that of a UDP flow.
struct DatagramConversations {
    /// Limit on the conversations of one guest.
    static let maximumPerGuest = 4_096
    private static let lifetime = Duration.seconds(300)
    /// A guest may resolve a name after its first attempt, so a refusal does not last.
    private static let refusalLifetime = Duration.seconds(1)

    private struct Key: Hashable {
        let port: UInt16
        let remote: Endpoint
    }

    private final class Conversation {
        let server: ServerIdentity
        let host: Endpoint
        var transport: PolicyRule.Transport
        var isAllowed: Bool
        var generation: Int
        var lastUsed: Instant

        init(
            _ server: ServerIdentity,
            _ host: Endpoint,
            _ transport: PolicyRule.Transport,
            isAllowed: Bool,
            generation: Int,
            now: Instant
        ) {
            self.server = server
            self.host = host
            self.transport = transport
            self.isAllowed = isAllowed
            self.generation = generation
            lastUsed = now
        }
    }

    private var guests: [IPAddress: [Key: Conversation]] = [:]

    /// The number of remembered conversations.
    var count: Int { guests.values.reduce(0) { $0 + $1.count } }

    /// Decides about a datagram.
    ///
    /// - Parameters:
    ///   - payload: Its first bytes may name its server.
    ///   - guest: The sender.
    ///   - remote: The destination as the guest sees it.
    ///   - host: The destination on the host's network.
    ///   - policy: The rules.
    ///   - now: The turn's clock.
    /// - Returns: `host` or `refuse`.
    mutating func decide(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        to remote: Endpoint,
        _ host: Endpoint,
        _ policy: EgressPolicy,
        now: Instant
    ) -> Verdict {
        let key = Key(port: guest.port, remote: remote)
        if let known = guests[guest.address]?[key], known.generation == policy.generation {
            let lifetime = known.isAllowed ? Self.lifetime : Self.refusalLifetime
            if now - known.lastUsed < lifetime {
                if known.isAllowed { known.lastUsed = now }
                return known.isAllowed ? .host(known.host) : .refuse(.policy)
            }
        }
        let request = EgressPolicy.Request(
            transport: .udp,
            guest: guest.address,
            remote: remote,
            host: host
        )
        let verdict = policy.decide(request)
        let isAllowed =
            switch verdict {
            case .host, .examine: true
            case .gateway, .wait, .refuse, .drop: false
            }
        makeRoom(for: guest.address, now: now)
        guests[guest.address, default: [:]][key] = Conversation(
            policy.identity(of: remote.address, for: guest.address),
            host,
            .udp,
            isAllowed: isAllowed,
            generation: policy.generation,
            now: now
        )
        return isAllowed ? .host(host) : .refuse(.policy)
    }

    private mutating func makeRoom(for guest: IPAddress, now: Instant) {
        guard guests[guest]?.count ?? 0 >= Self.maximumPerGuest else { return }
        guests[guest] = guests[guest]?.filter { now - $0.value.lastUsed < Self.refusalLifetime }
        if guests[guest]?.count ?? 0 >= Self.maximumPerGuest { guests[guest] = nil }
    }
}
