/// Ends the flows of guests that are gone, and probes the flows of guests that came back.
///
/// How it works
///
/// * A link closes: its guests are absent. A guest that is heard again within `absenceLimit` keeps
///   its flows; the others lose theirs.
/// * A guest is heard again, sends DHCPDISCOVER, or changes its Ethernet address: it may have
///   rebooted. Each of its TCP flows is probed once; a guest that does not
///   know a connection answers with a reset.
/// * A guest stops answering on one flow: its other flows are probed as well.
///
/// A sweep visits `flowsPerStep` flows at a time, so that 20,000 flows neither flood a link nor
/// delay other traffic. A guest that causes sweeps again and again gets one every `sweepInterval`.
final class GuestPresence: TimerObserver {
    /// How long a guest without a link keeps its flows: longer than a guest end takes to reconnect.
    static let absenceLimit: Duration = .seconds(60)
    /// How long requests are collected before they become one sweep.
    static let gatheringTime: Duration = .milliseconds(100)
    /// Between two sweeps over the flows of one guest.
    static let sweepInterval: Duration = .seconds(10)
    static let flowsPerStep = 64
    static let stepInterval: Duration = .milliseconds(5)
    /// Guests in each of the tables; the switch does not remember more either.
    private static let capacity = 4096

    /// A flow that the sweep has not visited yet, and what to do with it.
    private enum Visit {
        case probe(TCPFlow)
        case endTCP(TCPFlow)
        case endUDP(UDPFlow)
        case endEcho(EchoFlow)
    }

    private let ethernet: VirtualEthernet
    private let tcp: TCPFlows
    private let udp: UDPFlows
    private let echo: EchoFlows
    private let log: Logger
    /// When the flows of guests without a link end, and the earliest of these times.
    private var absent: [IPAddress: Instant] = [:]
    private var nextEnd: Instant?
    /// Guests whose flows are to be probed: by address, or to be looked up.
    private var requested: Set<IPAddress> = []
    private var returned: Set<MACAddress> = []
    /// Ethernet addresses behind links that have closed, not heard since.
    private var missing: Set<MACAddress> = []
    private var lastSwept: [IPAddress: Instant] = [:]
    /// The rest of the sweep; the last element is next.
    private var visits: [Visit] = []
    private var timer: (token: TimerWheel.Token, deadline: Instant)?

    /// Watches the guests of an engine.
    init(
        _ ethernet: VirtualEthernet,
        _ tcp: TCPFlows,
        _ udp: UDPFlows,
        _ echo: EchoFlows,
        log: Logger
    ) {
        self.ethernet = ethernet
        self.tcp = tcp
        self.udp = udp
        self.echo = echo
        self.log = log
        ethernet.stationsLost = { [unowned self] in lost($0) }
        ethernet.stationHeard = { [unowned self] in heard($0) }
        ethernet.neighborMoved = { [unowned self] in request($0) }
        tcp.guestIsSilent = { [unowned self] in request($0) }
    }

    /// Ends what would keep the loop busy.
    func stop() {
        if let timer { tcp.loop.cancel(timer.token) }
        timer = nil
        visits = []
    }

    // MARK: Events

    /// A guest sent DHCPDISCOVER: it has no address yet, and so none of its connections.
    func discovered(_ mac: MACAddress) { request(mac) }

    private func lost(_ stations: [MACAddress]) {
        let deadline = tcp.loop.now + Self.absenceLimit
        if missing.count > Self.capacity { missing.removeAll() }
        missing.formUnion(stations)
        for address in ethernet.neighbors.addresses(of: Set(stations)) {
            // Only a guest that makes addresses up has this many; their flows end now.
            if absent.count >= Self.capacity { end(Set(absent.keys)) }
            absent[address] = deadline
            if nextEnd == nil { nextEnd = deadline }
        }
        arm()
    }

    private func heard(_ mac: MACAddress) {
        // A station that was never heard before has no flows.
        if missing.remove(mac) != nil { request(mac) }
    }

    // No lookup here: a guest can cause this with every frame.
    private func request(_ mac: MACAddress) {
        guard returned.count < Self.capacity else { return }
        returned.insert(mac)
        arm()
    }

    private func request(_ address: IPAddress) {
        guard requested.count < Self.capacity else { return }
        requested.insert(address)
        arm()
    }

    // MARK: Sweeps

    func timerFired(now: Instant) {
        timer = nil
        if visits.isEmpty {
            endAbsent(now: now)
            collectRequested(now: now)
        }
        for _ in 0..<Self.flowsPerStep {
            guard let visit = visits.popLast() else { break }
            perform(visit, now: now)
        }
        arm()
    }

    private func endAbsent(now: Instant) {
        guard let nextEnd, nextEnd <= now else { return }
        let gone = absent.filter { $0.value <= now }
        end(Set(gone.keys))
        self.nextEnd = absent.values.min()
    }

    /// Schedules the end of all flows of these guests.
    private func end(_ guests: Set<IPAddress>) {
        let before = visits.count
        for guest in guests { absent[guest] = nil }
        visits += tcp.all.filter { guests.contains($0.key.guest.address) }.map { .endTCP($0) }
        visits += udp.all.filter { guests.contains($0.guest.address) }.map { .endUDP($0) }
        visits += echo.all.filter { guests.contains($0.key.guest) }.map { .endEcho($0) }
        guard visits.count > before else { return }
        let guest = guests.count == 1 ? guests.first.map { "\($0)" } ?? "" : "\(guests.count)"
        log.info(
            "flows of an absent guest closed",
            ["guest": guest, "flows": "\(visits.count - before)"]
        )
    }

    private func collectRequested(now: Instant) {
        if !returned.isEmpty {
            requested.formUnion(ethernet.neighbors.addresses(of: returned))
            returned.removeAll(keepingCapacity: true)
        }
        let due = requested.filter { isDue($0, now: now) }
        guard !due.isEmpty else { return }
        requested.subtract(due)
        for address in due where isHere(address) { absent[address] = nil }
        if lastSwept.count + due.count > Self.capacity {
            lastSwept = lastSwept.filter { now - $0.value < Self.sweepInterval }
            if lastSwept.count > Self.capacity { lastSwept.removeAll() }
        }
        for address in due { lastSwept[address] = now }
        visits += tcp.all.filter { due.contains($0.key.guest.address) }.map { .probe($0) }
    }

    private func isDue(_ address: IPAddress, now: Instant) -> Bool {
        guard let last = lastSwept[address] else { return true }
        return now - last >= Self.sweepInterval
    }

    private func perform(_ visit: Visit, now: Instant) {
        switch visit {
        case .probe(let flow): flow.probeGuest(now: now)
        case .endTCP(let flow):
            // A guest that came back at the last moment is probed instead.
            if isHere(flow.key.guest.address) { return flow.probeGuest(now: now) }
            flow.guestIsGone(now: now)
        case .endUDP(let flow): if !isHere(flow.guest.address) { udp.expired(flow) }
        case .endEcho(let flow): if !isHere(flow.key.guest) { echo.expired(flow) }
        }
    }

    private func isHere(_ guest: IPAddress) -> Bool { ethernet.route(to: guest) != nil }

    private func arm() {
        let now = tcp.loop.now
        var next = nextEnd
        if !requested.isEmpty || !returned.isEmpty { next = now + Self.gatheringTime }
        if !visits.isEmpty { next = now + Self.stepInterval }
        guard let next else { return }
        if let timer {
            guard next < timer.deadline else { return }
            tcp.loop.cancel(timer.token)
        }
        timer = (tcp.loop.schedule(next, observer: self), next)
    }
}
