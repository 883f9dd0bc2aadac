/// What a policy has decided about datagrams: once for each guest's port and destination.
///
/// Where the decision depends on a name, the Initial packets of QUIC are read, and wait here until
/// they have shown it: a server that has received half of a hello could be sent the other half
/// when nobody remembers the first.
///
/// Limits: conversations of one guest (its idle ones are forgotten first, then all), their lifetime
/// without datagrams, which is that of a UDP flow, and the bytes that wait.
struct DatagramConversations {
    /// Limit on the conversations of one guest.
    static let maximumPerGuest = 4_096
    /// Limit on guests' addresses; a guest has many in IPv6, and can take new ones.
    static let maximumGuests = 512
    /// Limit on the bytes that wait for one name; a hello takes two or three datagrams.
    static let maximumHeld = 8_192
    /// Limit on the bytes that wait in all conversations.
    static let maximumHeldInAll = 1 << 20
    private static let lifetime = Duration.seconds(300)
    /// A guest may resolve a name after its first attempt, so a refusal does not last.
    private static let refusalLifetime = Duration.seconds(1)

    private struct Key: Hashable {
        let port: UInt16
        let remote: Endpoint
    }

    private final class Conversation {
        let server: ServerIdentity
        var transport: PolicyRule.Transport
        var verdict: Verdict
        let generation: Int
        var lastUsed: Instant
        /// Reads QUIC's packets; nil if nothing depends on them.
        var inspector: QUICClientInspector?
        let needsName: Bool
        var held: [[UInt8]] = []

        init(
            _ server: ServerIdentity,
            _ transport: PolicyRule.Transport,
            _ verdict: Verdict,
            needsName: Bool,
            generation: Int,
            now: Instant
        ) {
            self.server = server
            self.transport = transport
            self.verdict = verdict
            self.needsName = needsName
            self.generation = generation
            lastUsed = now
        }

        var heldCount: Int { held.reduce(0) { $0 + $1.count } }
    }

    private var guests: [IPAddress: [Key: Conversation]] = [:]
    private var heldInAll = 0
    /// Datagrams that waited for the name that the last one has shown, in their order.
    private var released: [[UInt8]] = []

    /// The number of remembered conversations.
    var count: Int { guests.values.reduce(0) { $0 + $1.count } }

    /// Takes the datagrams that are to leave before the one that was just decided about.
    mutating func takeReleased() -> [[UInt8]] {
        if released.isEmpty { return [] }
        defer { released = [] }
        return released
    }

    /// Decides about a datagram.
    ///
    /// - Parameters:
    ///   - payload: Its first bytes may name its server.
    ///   - guest: The sender.
    ///   - remote: The destination as the guest sees it.
    ///   - host: The destination on the host's network.
    ///   - policy: The rules.
    ///   - now: The turn's clock.
    /// - Returns: `host`, `refuse`, or `drop` for one that waits.
    mutating func decide(
        _ payload: UnsafeRawBufferPointer,
        from guest: Endpoint,
        to remote: Endpoint,
        _ host: Endpoint,
        _ policy: EgressPolicy,
        now: Instant
    ) -> Verdict {
        let key = Key(port: guest.port, remote: remote)
        var request = EgressPolicy.Request(
            transport: .udp,
            guest: guest.address,
            remote: remote,
            host: host
        )
        if let known = guests[guest.address]?[key], known.generation == policy.generation,
            now - known.lastUsed < Self.lifetime(of: known.verdict)
        {
            guard case .host = known.verdict else { return known.verdict }
            known.lastUsed = now
            return known.inspector == nil ? known.verdict : read(payload, known, request, policy)
        }
        var inspector = QUICClientInspector()
        let reading = inspector.read(payload)
        if reading != .notQUIC { request.transport = .quic }
        let server = policy.identity(of: remote.address, for: guest.address)
        // A hello is decided about, and recorded, once more.
        let isNamed = if case .hello = reading { true } else { false }
        let verdict = policy.decide(request, server, isFinal: !isNamed)
        let conversation = remember(verdict, server, request, key, policy, now: now)
        guard case .host = conversation.verdict,
            conversation.needsName || policy.distinguishesQUIC
        else { return conversation.verdict }
        conversation.inspector = inspector
        return follow(reading, payload, conversation, request, policy)
    }

    private static func lifetime(of verdict: Verdict) -> Duration {
        if case .host = verdict { lifetime } else { refusalLifetime }
    }

    private mutating func remember(
        _ verdict: Verdict,
        _ server: ServerIdentity,
        _ request: EgressPolicy.Request,
        _ key: Key,
        _ policy: EgressPolicy,
        now: Instant
    ) -> Conversation {
        makeRoom(for: request.guest, now: now)
        let needsName = if case .examine = verdict { true } else { false }
        let conversation = Conversation(
            server,
            request.transport,
            Self.settled(verdict),
            needsName: needsName,
            generation: policy.generation,
            now: now
        )
        forget(guests[request.guest]?[key])
        guests[request.guest, default: [:]][key] = conversation
        return conversation
    }

    /// A datagram does not wait for a person: the program sends another one.
    private static func settled(_ verdict: Verdict) -> Verdict {
        switch verdict {
        case .host(let host), .examine(let host): .host(host)
        case .wait: .drop(.policy)
        case .gateway, .refuse, .drop: .refuse(.policy)
        }
    }

    /// The allowed conversations that the policy no longer allows, which are forgotten.
    ///
    /// - Returns: The guest's endpoint and the server on the host's network of each.
    mutating func revoke(_ policy: EgressPolicy) -> [(guest: Endpoint, host: Endpoint)] {
        var revoked: [(guest: Endpoint, host: Endpoint)] = []
        for (address, conversations) in guests {
            for (key, conversation) in conversations {
                guard case .host(let host) = conversation.verdict else { continue }
                let request = EgressPolicy.Request(
                    transport: conversation.transport,
                    guest: address,
                    remote: key.remote,
                    host: host
                )
                if policy.stillAllows(request, conversation.server, isNews: false) { continue }
                forget(conversation)
                guests[address]?[key] = nil
                revoked.append((Endpoint(address: address, port: key.port), host))
            }
        }
        return revoked
    }

    // MARK: QUIC

    private mutating func read(
        _ payload: UnsafeRawBufferPointer,
        _ conversation: Conversation,
        _ request: EgressPolicy.Request,
        _ policy: EgressPolicy
    ) -> Verdict {
        guard let reading = conversation.inspector?.read(payload) else {
            return conversation.verdict
        }
        return follow(reading, payload, conversation, request, policy)
    }

    private mutating func follow(
        _ reading: QUICReading,
        _ payload: UnsafeRawBufferPointer,
        _ conversation: Conversation,
        _ request: EgressPolicy.Request,
        _ policy: EgressPolicy
    ) -> Verdict {
        var request = request
        request.transport = reading == .notQUIC ? .udp : .quic
        if request.transport != conversation.transport {
            conversation.transport = request.transport
            guard policy.stillAllows(request, conversation.server, isNews: true) else {
                return refuse(conversation)
            }
        }
        switch reading {
        case .notQUIC, .other:
            return conversation.verdict
        case .incomplete:
            return conversation.needsName ? hold(payload, conversation) : conversation.verdict
        case .invalid:
            return conversation.needsName ? .refuse(.policy) : conversation.verdict
        case .hello(let hello):
            let hides = hello.hasEncryptedHello && !policy.acceptsEncryptedHello
            conversation.server.shown = hides ? .hidden : ShownName(hello)
            guard policy.stillAllows(request, conversation.server, isNews: true) else {
                return refuse(conversation)
            }
            released = conversation.held
            forget(conversation)
            return conversation.verdict
        }
    }

    private mutating func refuse(_ conversation: Conversation) -> Verdict {
        forget(conversation)
        conversation.verdict = .refuse(.policy)
        return conversation.verdict
    }

    private mutating func hold(
        _ payload: UnsafeRawBufferPointer,
        _ conversation: Conversation
    ) -> Verdict {
        let fits =
            conversation.heldCount + payload.count <= Self.maximumHeld
            && heldInAll + payload.count <= Self.maximumHeldInAll
        if fits {
            conversation.held.append(Array(payload))
            heldInAll += payload.count
        }
        return .drop(.policy)
    }

    // MARK: Room

    /// Drops what waits in a conversation.
    private mutating func forget(_ conversation: Conversation?) {
        guard let conversation else { return }
        heldInAll -= conversation.heldCount
        conversation.held = []
    }

    private mutating func makeRoom(for guest: IPAddress, now: Instant) {
        if guests[guest] == nil, guests.count >= Self.maximumGuests { forgetIdle(now: now) }
        guard let known = guests[guest], known.count >= Self.maximumPerGuest else { return }
        var kept = known.filter { now - $0.value.lastUsed < Self.refusalLifetime }
        if kept.count >= Self.maximumPerGuest { kept = [:] }
        for (key, conversation) in known where kept[key] == nil { forget(conversation) }
        guests[guest] = kept
    }

    /// Forgets the guests without a recent datagram; all of them, if there are none.
    private mutating func forgetIdle(now: Instant) {
        let known = guests
        guests = known.filter { _, conversations in
            conversations.values.contains { now - $0.lastUsed < Self.refusalLifetime }
        }
        if guests.count >= Self.maximumGuests { guests = [:] }
        for (guest, conversations) in known where guests[guest] == nil {
            for conversation in conversations.values { forget(conversation) }
        }
    }
}
