import Testing

@testable import RDNetKit

/// A client on a manual clock.
private final class DHCPClientScene {
    static let mac = MACAddress(rawValue: 0x5a94_efe4_0cee)

    var client: DHCPClient
    var now = Instant(nanoseconds: 5_000_000_000_000)

    init(seed: UInt64 = 1) {
        let identity = DHCPClient.Identity(mac: Self.mac, hostName: "guest")
        client = DHCPClient(identity, random: SplitMix(state: seed))
    }

    func handle(_ event: DHCPClientEvent) -> [DHCPClientAction] {
        client.handle(event, now: now)
    }

    /// Moves the clock to the next deadline.
    func passDeadline() throws -> [DHCPClientAction] {
        now = try #require(client.nextDeadline)
        return handle(.deadlinePassed)
    }

    static func reply(
        _ type: DHCPMessageType,
        to request: DHCPMessage,
        lease: UInt32 = 3600,
        address: String = "192.168.127.2"
    ) throws -> DHCPMessage {
        var reply = DHCPMessage(
            type,
            transactionID: request.transactionID,
            hardwareAddress: request.hardwareAddress
        )
        reply.options.set(.serverIdentifier, to: [try #require(IPAddress("192.168.127.1"))])
        guard type != .nak else { return reply }
        reply.yourAddress = try #require(IPAddress(address))
        reply.options.set(.subnetMask, to: [try #require(IPAddress("255.255.255.0"))])
        reply.options.set(.router, to: [try #require(IPAddress("192.168.127.1"))])
        reply.options.set(.leaseTime, to: lease)
        return reply
    }

    /// Runs the client from the start to BOUND; the lease begins at `now`.
    func bind(lease: UInt32 = 3600) throws {
        let discover = try #require(handle(.started).message)
        let offer = try Self.reply(.offer, to: discover)
        let request = try #require(handle(.received(offer)).message)
        let ack = try Self.reply(.ack, to: request, lease: lease)
        let actions = handle(.received(ack))
        #expect(actions.first?.isConfigure(renewed: false) == true)
    }

    var stateName: String {
        switch client.state {
        case .stopped: "STOPPED"
        case .selecting: "SELECTING"
        case .requesting: "REQUESTING"
        case .rebooting: "REBOOTING"
        case .bound: "BOUND"
        case .renewing: "RENEWING"
        case .rebinding: "REBINDING"
        }
    }
}

extension [DHCPClientAction] {
    /// The broadcast or unicast message among the actions, if any.
    fileprivate var message: DHCPMessage? {
        for case .broadcast(let message) in self { return message }
        for case .unicast(let message, _) in self { return message }
        return nil
    }
}

extension DHCPClientAction {
    fileprivate func isConfigure(renewed: Bool) -> Bool {
        guard case .configure(_, renewed) = self else { return false }
        return true
    }
}

@Suite("DHCP client")
struct DHCPClientTests {
    private let scene = DHCPClientScene()

    @Test func `RFC 2131 4.4.1: starts with a clean interface and DHCPDISCOVER at once`() throws {
        let actions = scene.handle(.started)
        #expect(actions.first == .deconfigure)
        guard case .broadcast(let discover)? = actions.last else {
            Issue.record("no broadcast in \(actions)")
            return
        }
        #expect(discover.type == .discover)
        #expect(discover.operation == .request)
        #expect(discover.clientAddress == .anyIPv4)
        #expect(discover.options[.clientIdentifier] == [1, 0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee])
        #expect(discover.options[.hostName] == Array("guest".utf8))
        let wanted = discover.options[.parameterRequestList] ?? []
        #expect(Set([1, 3, 6, 15, 26, 28, 51, 119]).isSubset(of: wanted))
        #expect(discover.options[.serverIdentifier] == nil)
    }

    @Test("asks for IPv6 if the kernel has it", arguments: [false, true])
    func ipv6Offer(hasIPv6: Bool) throws {
        let identity = DHCPClient.Identity(mac: DHCPClientScene.mac, hasIPv6: hasIPv6)
        var client = DHCPClient(identity, random: SplitMix(state: 1))
        let discover = try #require(client.handle(.started, now: scene.now).message)
        let wanted = try #require(discover.options[.parameterRequestList])
        #expect(wanted.contains(DHCPOptionCode.ipv6Offer.rawValue) == hasIPv6)
    }

    @Test func `RFC 2131 4.1: retransmission waits 1, 2, 4, 8, then 16 s, give or take an eighth`()
        throws
    {
        _ = scene.handle(.started)
        for expected in [1, 2, 4, 8, 16, 16, 16] as [Double] {
            let before = scene.now
            #expect(try scene.passDeadline().message?.type == .discover)
            let waited = Double((scene.now - before).wholeNanoseconds) / 1e9
            #expect(abs(waited - expected) <= expected / 8)
        }
    }

    @Test func `silence is reported after each round of five`() throws {
        _ = scene.handle(.started)
        let reports = try (1...10).map { _ in try scene.passDeadline().contains(.reportSilence) }
        #expect(reports == [false, false, false, false, true, false, false, false, false, true])
    }

    @Test func `a deadline that has not come changes nothing`() {
        _ = scene.handle(.started)
        #expect(scene.handle(.deadlinePassed).isEmpty)
    }

    @Test func `RFC 2131 4.4.1: an offer is requested from its server`() throws {
        let discover = try #require(scene.handle(.started).message)
        let offer = try DHCPClientScene.reply(.offer, to: discover)
        let request = try #require(scene.handle(.received(offer)).message)
        #expect(request.type == .request)
        #expect(request.transactionID == discover.transactionID)
        #expect(request.clientAddress == .anyIPv4)
        #expect(request.options.address(.requestedAddress)?.description == "192.168.127.2")
        #expect(request.options.address(.serverIdentifier)?.description == "192.168.127.1")
    }

    @Test func `an offer that nobody acknowledges is given up after four requests`() throws {
        let discover = try #require(scene.handle(.started).message)
        _ = scene.handle(.received(try DHCPClientScene.reply(.offer, to: discover)))
        let types = try (1...4).map { _ in try scene.passDeadline().message?.type }
        #expect(types == [.request, .request, .request, .discover])
    }

    @Test func `messages of other exchanges are ignored`() throws {
        let discover = try #require(scene.handle(.started).message)
        let offer = try DHCPClientScene.reply(.offer, to: discover)
        var (stale, foreign, echo) = (offer, offer, offer)
        stale.transactionID &+= 1
        foreign.hardwareAddress = MACAddress(rawValue: 1)
        echo.operation = .request
        for message in [stale, foreign, echo] {
            #expect(scene.handle(.received(message)).isEmpty)
        }
        #expect(scene.stateName == "SELECTING")
    }

    @Test(
        "an offer of no host address is ignored",
        arguments: ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1"]
    )
    func impossibleOfferIsIgnored(address: String) throws {
        let discover = try #require(scene.handle(.started).message)
        let offer = try DHCPClientScene.reply(.offer, to: discover, address: address)
        #expect(scene.handle(.received(offer)).isEmpty)
    }

    @Test func `RFC 2131 4.4.5: renews by unicast at half the lease, rebinds by broadcast at 7/8`()
        throws
    {
        try scene.bind(lease: 3600)
        let began = scene.now
        guard case .unicast(let renewal, let server)? = try scene.passDeadline().first else {
            Issue.record("no unicast")
            return
        }
        #expect(scene.now - began == .seconds(1800))
        #expect(scene.stateName == "RENEWING")
        #expect("\(server)" == "192.168.127.1")
        #expect("\(renewal.clientAddress)" == "192.168.127.2")
        // RFC 2131, 4.3.2, table 4.
        #expect(renewal.options[.serverIdentifier] == nil)
        #expect(renewal.options[.requestedAddress] == nil)
        while scene.stateName == "RENEWING" { _ = try scene.passDeadline() }
        #expect(scene.now - began == .seconds(3150))
        #expect(scene.stateName == "REBINDING")
        guard case .broadcast(let rebinding)? = try scene.passDeadline().first else {
            Issue.record("no broadcast")
            return
        }
        #expect("\(rebinding.clientAddress)" == "192.168.127.2")
    }

    @Test func `RFC 2131 4.4.5: pauses between renewals halve, down to a minute`() throws {
        try scene.bind(lease: 3600)
        _ = try scene.passDeadline()
        var pauses: [Int64] = []
        while scene.stateName == "RENEWING" {
            let before = scene.now
            _ = try scene.passDeadline()
            pauses.append((scene.now - before).components.seconds)
        }
        // 1350 s from T1 to T2.
        #expect(pauses == [675, 337, 168, 84, 60, 24])
    }

    @Test func `an acknowledged renewal is a new lease for the same address`() throws {
        try scene.bind(lease: 600)
        let renewal = try #require(try scene.passDeadline().message)
        let ack = try DHCPClientScene.reply(.ack, to: renewal, lease: 600)
        let actions = scene.handle(.received(ack))
        #expect(actions.first?.isConfigure(renewed: true) == true)
        let next = try #require(scene.client.nextDeadline)
        #expect(next - scene.now == .seconds(300))
    }

    @Test func `RFC 2131 4.4.5: an expired lease is dropped and asked for anew`() throws {
        try scene.bind(lease: 600)
        let began = scene.now
        var last: [DHCPClientAction] = []
        while scene.stateName != "SELECTING" { last = try scene.passDeadline() }
        #expect(scene.now - began == .seconds(600))
        #expect(last.first == .deconfigure)
        #expect(last.message?.type == .discover)
        #expect(scene.client.lease == nil)
    }

    @Test func `RFC 2131 4.4.5: a refused renewal drops the lease at once`() throws {
        try scene.bind()
        let renewal = try #require(try scene.passDeadline().message)
        let nak = try DHCPClientScene.reply(.nak, to: renewal)
        let actions = scene.handle(.received(nak))
        #expect(actions.prefix(2) == [.reportRefusal(nak), .deconfigure])
        #expect(actions.message?.type == .discover)
    }

    @Test func `a server that offers and refuses does not make the client spin`() throws {
        let discover = try #require(scene.handle(.started).message)
        let offer = try DHCPClientScene.reply(.offer, to: discover)
        let request = try #require(scene.handle(.received(offer)).message)
        let nak = try DHCPClientScene.reply(.nak, to: request)
        #expect(scene.handle(.received(nak)) == [.reportRefusal(nak)])
        let before = scene.now
        #expect(try scene.passDeadline().message?.type == .discover)
        #expect(scene.now - before == .seconds(1))
    }

    @Test func `a refusal by another server than the offer's is ignored`() throws {
        let discover = try #require(scene.handle(.started).message)
        let offer = try DHCPClientScene.reply(.offer, to: discover)
        let request = try #require(scene.handle(.received(offer)).message)
        var nak = try DHCPClientScene.reply(.nak, to: request)
        nak.options.set(.serverIdentifier, to: [try #require(IPAddress("192.168.127.9"))])
        #expect(scene.handle(.received(nak)).isEmpty)
    }

    // MARK: INIT-REBOOT

    @Test func `RFC 2131 4.4.2: after the link was away, the old address is asked for`() throws {
        try scene.bind()
        let actions = scene.handle(.linkRestored)
        guard case .broadcast(let request)? = actions.first else {
            Issue.record("no broadcast in \(actions)")
            return
        }
        #expect(request.type == .request)
        #expect(request.clientAddress == .anyIPv4)
        #expect(request.options.address(.requestedAddress)?.description == "192.168.127.2")
        #expect(request.options[.serverIdentifier] == nil)
        let ack = try DHCPClientScene.reply(.ack, to: request)
        #expect(scene.handle(.received(ack)).first?.isConfigure(renewed: true) == true)
        #expect(scene.stateName == "BOUND")
    }

    @Test func `RFC 2131 3.2: without an answer the lease is kept for the rest of its time`() throws
    {
        try scene.bind(lease: 3600)
        let renewal = scene.client.nextDeadline
        _ = scene.handle(.linkRestored)
        while scene.stateName == "REBOOTING" {
            #expect(try !scene.passDeadline().contains(.deconfigure))
        }
        #expect(scene.stateName == "BOUND")
        #expect(scene.client.nextDeadline == renewal)
    }

    @Test func `RFC 2131 3.2: a refusal after the link was away drops the address`() throws {
        try scene.bind()
        let request = try #require(scene.handle(.linkRestored).message)
        let actions = scene.handle(.received(try DHCPClientScene.reply(.nak, to: request)))
        #expect(actions.contains(.deconfigure))
        #expect(scene.stateName == "SELECTING")
    }

    @Test func `without a lease, a restored link is asked at once`() throws {
        _ = scene.handle(.started)
        for _ in 0..<4 { _ = try scene.passDeadline() }
        #expect(scene.handle(.linkRestored).message?.type == .discover)
        let wait = try #require(scene.client.nextDeadline) - scene.now
        #expect(wait < .seconds(2))
    }

    // MARK: Stopping

    @Test func `RFC 2131 4.4.6: stopping gives the lease back`() throws {
        try scene.bind()
        let actions = scene.handle(.stopped)
        guard case .unicast(let release, _)? = actions.first else {
            Issue.record("no unicast in \(actions)")
            return
        }
        #expect(release.type == .release)
        #expect("\(release.clientAddress)" == "192.168.127.2")
        #expect(release.options.address(.serverIdentifier)?.description == "192.168.127.1")
        #expect(release.options[.parameterRequestList] == nil)
        #expect(actions.last == .deconfigure)
        #expect(scene.client.nextDeadline == nil)
        #expect(scene.handle(.linkRestored).isEmpty)
    }

    @Test func `a lease without end is never renewed`() throws {
        try scene.bind(lease: .max)
        #expect(scene.client.nextDeadline == nil)
        #expect(scene.client.lease?.duration == nil)
    }

    @Test func `a stored clock that is late does not lose the lease's order`() throws {
        try scene.bind(lease: 600)
        scene.now = scene.now + .seconds(10_000)
        _ = scene.handle(.deadlinePassed)
        var steps = 0
        while scene.stateName != "SELECTING", steps < 10 {
            _ = try scene.passDeadline()
            steps += 1
        }
        #expect(scene.stateName == "SELECTING")
    }

    // MARK: Client against server

    @Test(
        "our client and our server agree over days of lost datagrams",
        arguments: 0..<20 as Range<UInt64>
    )
    func clientAgainstServer(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let scene = DHCPClientScene(seed: seed)
        let server = try DHCPServerScene()
        var pending = scene.handle(.started)
        var configured = 0
        for _ in 0..<400 {
            while let request = pending.message {
                configured += pending.filter { $0.isConfigure(renewed: true) }.count
                pending = []
                server.now = scene.now
                guard Int.random(in: 0..<3, using: &random) > 0,
                    let reply = try server.reply(to: request)
                else { break }
                pending = scene.handle(.received(reply))
            }
            configured += pending.filter { $0.isConfigure(renewed: true) }.count
            if let lease = scene.client.lease { #expect("\(lease.address)" == "192.168.127.2") }
            pending = try scene.passDeadline()
        }
        #expect(configured > 20, "seed \(seed)")
        #expect(server.server.statistics.refusals == 0, "seed \(seed)")
    }
}
