/// A DHCP client (RFC 2131, 4.4) for one Ethernet interface: events and the time in, actions out.
///
/// How it works: the client sends the first DHCPDISCOVER immediately. RFC 2131, 4.4.1 suggests a
/// delay of 1 to 10 s in case all machines of a building start together, but a virtual network has
/// few. The client waits one second for an answer, then twice as long each time up to 16 s, plus or
/// minus an eighth. Renewals are sent after half of the remaining time, but at least a minute apart
/// (4.4.5). The client accepts the first offer. After a link failure it requests its valid lease
/// again; without an answer it keeps the lease until it expires (3.2, item 3). It does not probe an
/// address by ARP, because the virtual network's server gives an address to one MAC address only.
struct DHCPClient {
    /// What the client reports about itself.
    struct Identity {
        var mac: MACAddress
        /// Option 12; nil omits it.
        var hostName: String?
        /// Whether the client can use IPv6, and asks for it.
        var hasIPv6 = true
    }

    static let firstWait: Duration = .seconds(1)
    static let maximumWait: Duration = .seconds(16)
    /// Limit on DHCPREQUESTs: for an offer before starting over, for the old lease before using it
    /// unconfirmed.
    static let requestAttempts = 4
    /// DHCPDISCOVERs in a round, after which silence is reported.
    static let discoverAttempts = 5
    /// Minimum pause between renewals (4.4.5).
    static let minimumRenewalPause: Duration = .seconds(60)

    private let identity: Identity
    private var random: any RandomNumberGenerator
    private(set) var state = DHCPClientState.stopped
    /// When to call `handle` with `deadlinePassed`; nil while nothing is pending.
    private(set) var nextDeadline: Instant?
    private var transactionID: UInt32 = 0
    private var attempts = 0
    /// When the current exchange started, for `secs`.
    private var began = Instant(nanoseconds: 0)
    /// When the current request was first sent; the lease starts at that time (4.4.1).
    private var requested = Instant(nanoseconds: 0)

    init(_ identity: Identity, random: any RandomNumberGenerator) {
        self.identity = identity
        self.random = random
    }

    /// The lease in use; nil without one.
    var lease: DHCPLease? {
        switch state {
        case .stopped, .selecting, .requesting: nil
        case .rebooting(let held), .bound(let held), .renewing(let held), .rebinding(let held):
            held.lease
        }
    }

    /// Handles one event.
    ///
    /// - Parameters:
    ///   - event: The event; messages of other exchanges are ignored.
    ///   - now: The caller's clock.
    /// - Returns: The actions to perform, in this order.
    mutating func handle(_ event: DHCPClientEvent, now: Instant) -> [DHCPClientAction] {
        switch (state, event) {
        case (.stopped, .started):
            return [.deconfigure, discover(now: now)]
        case (.stopped, .deadlinePassed), (.stopped, .received), (.stopped, .linkRestored),
            (.stopped, .stopped):
            return []
        case (_, .started):
            return []
        case (_, .stopped):
            return stop()
        case (.bound(let held), .received(let message)) where isCall(message, for: held):
            begin(.renewing(held), now: now)
            return [resend(now: now)]
        case (_, .received(let message)):
            return isOurs(message) ? receive(message, now: now) : []
        case (.selecting, .linkRestored), (.requesting, .linkRestored):
            return [discover(now: now)]
        case (.rebooting(let held), .linkRestored), (.bound(let held), .linkRestored),
            (.renewing(let held), .linkRestored), (.rebinding(let held), .linkRestored):
            begin(.rebooting(held), now: now)
            return [resend(now: now)]
        case (_, .deadlinePassed):
            guard let nextDeadline, nextDeadline <= now else { return [] }
            return passDeadline(now: now)
        }
    }

    // MARK: Deadlines

    private mutating func passDeadline(now: Instant) -> [DHCPClientAction] {
        switch state {
        case .stopped:
            return []
        case .selecting:
            let roundEnds = attempts > 0 && attempts % Self.discoverAttempts == 0
            return (roundEnds ? [.reportSilence] : []) + [resend(now: now)]
        case .requesting:
            return attempts < Self.requestAttempts ? [resend(now: now)] : [discover(now: now)]
        case .rebooting(let held):
            if isOver(held, now: now) { return startOver(now: now) }
            if attempts < Self.requestAttempts { return [resend(now: now)] }
            enter(held, now: now)
            return []
        case .bound(let held):
            begin(.renewing(held), now: now)
            return [resend(now: now)]
        case .renewing(let held):
            guard now >= held.rebinding else { return [resend(now: now)] }
            begin(.rebinding(held), now: now)
            return [resend(now: now)]
        case .rebinding(let held):
            return isOver(held, now: now) ? startOver(now: now) : [resend(now: now)]
        }
    }

    private func isOver(_ held: HeldLease, now: Instant) -> Bool {
        held.expiry.map { $0 <= now } ?? false
    }

    private mutating func startOver(now: Instant) -> [DHCPClientAction] {
        [.deconfigure, discover(now: now)]
    }

    // MARK: Messages in

    private func isOurs(_ message: DHCPMessage) -> Bool {
        message.operation == .reply && message.transactionID == transactionID
            && message.hardwareAddress == identity.mac
    }

    /// Whether the lease's server asks for a renewal (RFC 3203, 3), because a parameter changed.
    ///
    /// The message is not authenticated; the gateway drops servers' messages of other guests.
    private func isCall(_ message: DHCPMessage, for held: HeldLease) -> Bool {
        message.operation == .reply && message.type == .forceRenew
            && message.hardwareAddress == identity.mac
            && message.options.address(.serverIdentifier) == held.lease.server
    }

    private mutating func receive(_ message: DHCPMessage, now: Instant) -> [DHCPClientAction] {
        guard let type = message.type else { return [] }
        switch (state, type) {
        case (.selecting, .offer):
            guard DHCPLease(acknowledgedBy: message) != nil else { return [] }
            state = .requesting(offer: message)
            attempts = 0
            return [resend(now: now)]
        case (.requesting, .ack), (.rebooting, .ack), (.renewing, .ack), (.rebinding, .ack):
            return take(message)
        case (.requesting(let offer), .nak):
            // Ignore another server's refusal: it does not concern this server's offer.
            guard isFromServer(of: offer, message) else { return [] }
            // Wait before the retry: a server that offers and then refuses would cause a busy loop.
            begin(.selecting, now: now)
            nextDeadline = now + Self.firstWait
            return [.reportRefusal(message)]
        case (.rebooting, .nak), (.renewing, .nak), (.rebinding, .nak):
            return [.reportRefusal(message)] + startOver(now: now)
        case (.stopped, _), (.bound, _), (.selecting, _), (.requesting, _), (.rebooting, _),
            (.renewing, _), (.rebinding, _):
            return []
        }
    }

    private func isFromServer(of offer: DHCPMessage, _ message: DHCPMessage) -> Bool {
        let server = message.options.address(.serverIdentifier)
        return server == nil || server == offer.options.address(.serverIdentifier)
    }

    private mutating func take(_ message: DHCPMessage) -> [DHCPClientAction] {
        guard let lease = DHCPLease(acknowledgedBy: message) else { return [] }
        let previous = self.lease
        let held = HeldLease(
            lease: lease,
            renewal: requested + lease.renewal,
            rebinding: requested + lease.rebinding,
            expiry: lease.duration.map { requested + $0 }
        )
        state = .bound(held)
        nextDeadline = lease.duration == nil ? nil : held.renewal
        // A new address makes this a new lease for the recipient.
        let renewed = previous?.address == lease.address
        return [.configure(lease, renewed: renewed)]
    }

    // MARK: Messages out

    /// Starts over with a DHCPDISCOVER.
    private mutating func discover(now: Instant) -> DHCPClientAction {
        begin(.selecting, now: now)
        return resend(now: now)
    }

    /// Starts a new exchange.
    private mutating func begin(_ state: DHCPClientState, now: Instant) {
        self.state = state
        transactionID = UInt32(truncatingIfNeeded: random.next())
        attempts = 0
        began = now
    }

    /// Keeps using a lease that no server has confirmed or refused.
    private mutating func enter(_ held: HeldLease, now: Instant) {
        state = .bound(held)
        nextDeadline = held.expiry == nil ? nil : max(held.renewal, now)
    }

    private mutating func stop() -> [DHCPClientAction] {
        defer {
            state = .stopped
            nextDeadline = nil
        }
        guard let lease else { return [] }
        transactionID = UInt32(truncatingIfNeeded: random.next())
        var message = message(.release)
        message.clientAddress = lease.address
        message.options.set(.serverIdentifier, to: [lease.server])
        return [.unicast(message, to: lease.server), .deconfigure]
    }

    /// Returns the state's message, and schedules its retransmission (RFC 2131, table 5).
    private mutating func resend(now: Instant) -> DHCPClientAction {
        attempts += 1
        // An answer does not reveal which copy it belongs to; the time of the first copy is the
        // safe choice.
        if attempts == 1 { requested = now }
        var message = message(state == .selecting ? .discover : .request)
        message.seconds = UInt16(clamping: (now - began).components.seconds)
        nextDeadline = now + wait()
        switch state {
        case .stopped, .selecting, .bound:
            return .broadcast(message)
        case .requesting(let offer):
            message.options.set(.requestedAddress, to: [offer.yourAddress])
            message.options[.serverIdentifier] = offer.options[.serverIdentifier]
            return .broadcast(message)
        case .rebooting(let held):
            message.options.set(.requestedAddress, to: [held.lease.address])
            return .broadcast(message)
        case .renewing(let held):
            message.clientAddress = held.lease.address
            nextDeadline = renewalDeadline(before: held.rebinding, now: now)
            return .unicast(message, to: held.lease.server)
        case .rebinding(let held):
            message.clientAddress = held.lease.address
            nextDeadline = held.expiry.map { renewalDeadline(before: $0, now: now) }
            return .broadcast(message)
        }
    }

    private func message(_ type: DHCPMessageType) -> DHCPMessage {
        var message = DHCPMessage(
            type,
            transactionID: transactionID,
            hardwareAddress: identity.mac
        )
        message.options[.clientIdentifier] = [1] + identity.mac.octets
        guard type != .release else { return message }
        if let hostName = identity.hostName { message.options[.hostName] = Array(hostName.utf8) }
        // The size of an Ethernet frame: until there is a lease, the interface's MTU is not
        // smaller.
        message.options.set(.maximumMessageSize, to: 1500 as UInt16)
        let wanted = Self.wanted + (identity.hasIPv6 ? [.ipv6Offer] : [])
        message.options[.parameterRequestList] = wanted.map(\.rawValue)
        return message
    }

    private static let wanted: [DHCPOptionCode] = [
        .subnetMask, .router, .domainNameServer, .hostName, .domainName, .interfaceMTU,
        .broadcastAddress, .ntpServers, .leaseTime, .serverIdentifier, .renewalTime,
        .rebindingTime, .domainSearch, .classlessStaticRoutes,
    ]

    private mutating func wait() -> Duration {
        let doublings = min(attempts - 1, 4)
        let wait = min(Self.firstWait * (1 << doublings), Self.maximumWait).wholeNanoseconds
        let spread = wait / 8
        return .nanoseconds(wait + Int64.random(in: -spread...spread, using: &random))
    }

    private func renewalDeadline(before limit: Instant, now: Instant) -> Instant {
        let half = (limit - now) / 2
        return min(now + max(half, Self.minimumRenewalPause), limit)
    }
}
