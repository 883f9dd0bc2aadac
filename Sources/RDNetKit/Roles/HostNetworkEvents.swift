/// The events of a network, for those who watch it at the moment.
extension HostNetwork {
    /// Connects the feed of events with those who know of them.
    func connectEvents() {
        let (feed, ethernet) = (events, engine.ethernet)
        ethernet.addressLearned = { feed.tell(.connectionEstablished($0), .link) }
        ethernet.addressForgotten = { feed.tell(.connectionClosed($0), .link) }
        forwards.noted = { entry, isOpen in
            let members = [
                ("local", entry.local), ("remote", entry.remote),
                ("protocol", entry.transport.rawValue),
            ]
            feed.tell(.observed(.forward, isOpen ? "opened" : "closed", .texts(members)), .forward)
        }
        engine.failures.recorded = { entry in
            feed.tell(.observed(.flow, "failed", FailureReport.members(entry)), .flow)
        }
        policy.noted = { record, question in
            feed.tell(Self.event(record, question), .policy)
        }
        let periodic = EventTicker(self)
        // The feed must not keep itself.
        feed.changed = { [unowned self, unowned feed] in
            engine.network.flowWatch = feed.isWatched(.flow) ? flowEvent : nil
            periodic.isOn = feed.isWatched(.drop) || feed.isWatched(.lease)
        }
    }

    /// Reports a link that was attached or has closed.
    func tell(of link: any FrameLink, _ what: String, _ reason: String? = nil) {
        let members = [("name", link.name)] + (reason.map { [("reason", $0)] } ?? [])
        events.tell(.observed(.link, what, .texts(members)), .link)
    }

    private static func event(_ record: PolicyRecord, _ question: Int?) -> NetworkEvent {
        let fields = [JSON.Member].texts(record.fields)
        guard let question else { return .observed(.policy, "decided", fields) }
        let number = JSON.Member("number", .integer(UInt64(question)))
        return .observed(.policy, "asked", [number] + fields)
    }

    private var flowEvent: (FlowRecord, Bool) -> Void {
        { [unowned self] flow, isOver in
            events.tell(.observed(.flow, isOver ? "ended" : "began", members(flow, isOver)), .flow)
        }
    }

    private func members(_ flow: FlowRecord, _ isOver: Bool) -> [JSON.Member] {
        let name = flow.name ?? flow.remote.flatMap { engine.failures.name($0.address) }
        var members = [JSON.Member].texts(
            [("protocol", flow.protocolName), ("guest", flow.guest.textOfEnd)]
                + (flow.remote.map { [("remote", $0.textOfEnd)] } ?? [])
                + (name.map { [("name", $0)] } ?? [])
        )
        if isOver {
            members += [
                JSON.Member("bytesToHost", .integer(flow.traffic.octetsToHost)),
                JSON.Member("bytesToGuest", .integer(flow.traffic.octetsToGuest)),
                JSON.Member("age", .seconds(loop.now - flow.traffic.start)),
            ]
        }
        return members
    }
}

extension [JSON.Member] {
    /// Members with texts as values.
    fileprivate static func texts(_ fields: [(key: String, value: String)]) -> [JSON.Member] {
        fields.map { JSON.Member($0.key, .string($0.value)) }
    }
}

/// Reports once a second what has changed in counters and tables, while somebody watches.
///
/// Packets are dropped by the thousand, and a lease can end without a message.
private final class EventTicker: TimerObserver {
    private static let interval: Duration = .seconds(1)

    private unowned let network: HostNetwork
    private var timer: TimerWheel.Token?
    private var drops = DropCounters()
    /// The names of those who have leases, by address and MAC address.
    private var holders: [String: String] = [:]

    init(_ network: HostNetwork) {
        self.network = network
    }

    /// Whether somebody watches.
    var isOn: Bool {
        get { timer != nil }
        set {
            guard newValue != isOn else { return }
            if let timer {
                network.loop.cancel(timer)
                return self.timer = nil
            }
            drops = network.engine.drops
            holders = leases
            arm()
        }
    }

    private func arm() {
        timer = network.loop.schedule(network.loop.now + Self.interval, observer: self)
    }

    func timerFired(now: Instant) {
        arm()
        if network.events.isWatched(.drop) { reportDrops() }
        if network.events.isWatched(.lease) { reportLeases() }
    }

    private func reportDrops() {
        let current = network.engine.drops
        for (reason, count) in current.all where count != drops[reason] {
            let members = [
                JSON.Member("reason", .string(reason.rawValue)),
                JSON.Member("packets", .integer(count &- drops[reason])),
            ]
            network.events.tell(.observed(.drop, "dropped", members), .drop)
        }
        drops = current
    }

    private var leases: [String: String] {
        var leases: [String: String] = [:]
        for guest in network.guestAddresses {
            leases["\(guest.address) \(guest.mac)"] = guest.name ?? ""
        }
        return leases
    }

    private func reportLeases() {
        let current = leases
        for (holder, name) in current where holders[holder] == nil { report("began", holder, name) }
        for (holder, name) in holders where current[holder] == nil { report("ended", holder, name) }
        holders = current
    }

    private func report(_ what: String, _ holder: String, _ name: String) {
        let words = holder.split(separator: " ").map { String($0) } + [name]
        let members = zip(["address", "mac", "name"], words).filter { !$0.1.isEmpty }
        let fields = members.map { (key: $0.0, value: $0.1) }
        network.events.tell(.observed(.lease, what, .texts(fields)), .lease)
    }
}
