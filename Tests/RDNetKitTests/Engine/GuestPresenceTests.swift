import Glibc
import Testing

@testable import RDNetKit

@Suite("flows of guests that are gone or came back")
final class GuestPresenceTests {
    private let guest: ScriptedGuest
    /// Keeps the peers alive: a released peer closes its connection.
    private var hosts: [HostPeer] = []

    init() throws {
        ProcessLimits.raiseDescriptors()
        guest = try ScriptedGuest()
        guest.serve(7)
    }

    private func connect() throws -> (tcp: ScriptedConnection, host: HostPeer) {
        let (tcp, host) = try guest.connect(to: HostListener())
        hosts.append(host)
        return (tcp, host)
    }

    /// Opens this many connections to a service of the gateway.
    private func connectMany(_ count: Int) throws -> [ScriptedConnection] {
        let remote = Endpoint(address: ScriptedGuest.gateway, port: 7)
        return try (0..<count).map { _ in
            let tcp = ScriptedConnection(guest, to: remote)
            try tcp.shakeHands()
            return tcp
        }
    }

    private func detachLink() {
        guest.engine.closed(guest.link, reason: "test", now: guest.clock.now)
    }

    private func attachLink() {
        _ = guest.engine.ethernet.attach(guest.link, now: guest.loop.now)
        guest.announce()
    }

    // MARK: Half-closed

    enum Half: CaseIterable { case guest, host }

    /// Ends one half of a connection.
    private func end(_ half: Half, _ tcp: ScriptedConnection, _ host: HostPeer) throws {
        switch half {
        case .guest:
            tcp.send([.fin, .ack])
            try tcp.expect(.ack, ack: 2)
        case .host:
            host.endSending()
            try tcp.expect([.fin, .ack], at: 1)
            tcp.send(.ack)
        }
        try guest.settle()
    }

    @Test("a half-closed flow that the guest has forgotten ends", arguments: Half.allCases)
    func forgotten(half: Half) throws {
        let (tcp, host) = try connect()
        try end(half, tcp, host)
        try guest.advance(.seconds(239))
        try tcp.expectNothing()
        try guest.advance(.seconds(2))
        let probe = try tcp.expect(.ack)
        #expect(probe.sequence == (half == .host ? 1 : 0))
        tcp.send(.rst, at: probe.acknowledgment)
        try guest.turn(until: { guest.engine.tcp.count == 0 })
        #expect(half == .guest || host.readsReset())
    }

    @Test("a half-closed flow whose guest answers lives on", arguments: Half.allCases)
    func answered(half: Half) throws {
        let (tcp, host) = try connect()
        try end(half, tcp, host)
        for _ in 0..<20 {
            try guest.advance(.seconds(241))
            try tcp.expect(.ack)
            try guest.advance(.milliseconds(5))
            tcp.send(.ack)
            try guest.settle()
        }
        #expect(guest.engine.tcp.count == 1)
    }

    @Test("a half-closed flow whose guest does not answer ends", arguments: Half.allCases)
    func unanswered(half: Half) throws {
        let (tcp, host) = try connect()
        try end(half, tcp, host)
        try guest.advance(.seconds(241))
        var probes = try tcp.takeAll().count
        for _ in 0..<126 { try guest.advance(.seconds(1)) }
        probes += try tcp.takeAll().count
        #expect(probes == 7)
        #expect(guest.engine.tcp.count == 1)
        // Every wait overshoots by up to one step.
        for _ in 0..<10 { try guest.advance(.seconds(1)) }
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `traffic puts the probe off`() throws {
        let (tcp, host) = try connect()
        try end(.guest, tcp, host)
        for _ in 0..<5 {
            try guest.advance(.seconds(200))
            try host.write("still here".utf8)
            try tcp.expect(.ack, text: "still here")
            tcp.send(.ack)
            try guest.settle()
        }
        try tcp.expectNothing()
    }

    @Test func `a shut window does not keep a flow whose guest does not answer`() throws {
        let (tcp, host) = try guest.connect(to: HostListener(), window: 0)
        try host.write("waiting".utf8)
        try guest.settle()
        for _ in 0..<400 where guest.engine.tcp.count > 0 { try guest.advance(.seconds(1)) }
        #expect(guest.engine.tcp.count == 0)
        _ = tcp
    }

    // MARK: Links

    @Test func `a guest without a link keeps its flows for a minute`() throws {
        let (_, host) = try connect()
        let hosts = try HostDatagrams()
        guest.sendUDP(
            from: 5000,
            to: Endpoint(address: ScriptedGuest.hostAlias, port: hosts.port),
            [1]
        )
        #expect(guest.engine.udp.count == 1)
        detachLink()
        try guest.advance(.seconds(59))
        #expect(guest.engine.tcp.count == 1)
        try guest.advance(.seconds(2))
        try guest.turn(until: { guest.engine.tcp.count == 0 })
        #expect(guest.engine.udp.count == 0)
        #expect(host.readsReset())
    }

    @Test func `a guest whose link returns in time keeps its flows, and is probed once`() throws {
        let (tcp, host) = try connect()
        try guest.advance(.seconds(1))
        detachLink()
        try guest.advance(.seconds(50))
        attachLink()
        try guest.advance(.milliseconds(101))
        try tcp.expect(.ack, at: 0, ack: 1)
        try guest.advance(.milliseconds(1))
        tcp.send(.ack)
        try guest.advance(.seconds(120))
        try tcp.expectNothing()
        try host.write("on".utf8)
        try tcp.expect(.ack, at: 1, text: "on")
    }

    @Test func `a guest that rebooted answers the probe with a reset`() throws {
        let (tcp, host) = try connect()
        try guest.advance(.seconds(1))
        detachLink()
        attachLink()
        try guest.advance(.milliseconds(101))
        let probe = try tcp.expect(.ack)
        tcp.send(.rst, at: probe.acknowledgment)
        try guest.turn(until: { guest.engine.tcp.count == 0 })
        #expect(host.readsReset())
    }

    @Test func `a probe that comes before the guest has its address is repeated`() throws {
        let (tcp, _) = try connect()
        try guest.advance(.seconds(1))
        guest.engine.presence.discovered(ScriptedGuest.mac)
        try guest.advance(.milliseconds(101))
        try tcp.expect(.ack)
        for second in [1, 2, 4] {
            try guest.advance(.milliseconds(second * 1_000 - 10))
            try tcp.expectNothing()
            try guest.advance(.milliseconds(20))
            try tcp.expect(.ack)
        }
    }

    @Test func `a guest that changes its Ethernet address is probed`() throws {
        let (tcp, _) = try connect()
        try guest.advance(.seconds(1))
        guest.announce(from: MACAddress(rawValue: 0x5a94_efe4_0cff))
        try guest.advance(.milliseconds(101))
        try tcp.expect(.ack, at: 0)
    }

    @Test func `a guest that is new on its link is not probed`() throws {
        let (tcp, _) = try connect()
        try guest.advance(.seconds(1))
        try tcp.expectNothing()
    }

    @Test func `a guest that causes probes again and again gets them every ten seconds at most`()
        throws
    {
        let (tcp, _) = try connect()
        var probes = 0
        for _ in 0..<200 {
            guest.engine.presence.discovered(ScriptedGuest.mac)
            try guest.advance(.milliseconds(100))
            for _ in try tcp.takeAll() {
                probes += 1
                tcp.send(.ack)
            }
        }
        #expect((2...3).contains(probes))
    }

    @Test func `hundreds of flows are probed a few at a time`() throws {
        let flows = try connectMany(500)
        try guest.advance(.seconds(1))
        guest.forgetPackets()
        guest.engine.presence.discovered(ScriptedGuest.mac)
        try guest.advance(.milliseconds(101))
        var most = 0
        var probed = 0
        for _ in 0..<100 where probed < flows.count {
            let count = try guest.takeIPv4(GuestWire.Transport.tcp).count
            most = max(most, count)
            probed += count
            try guest.advance(.milliseconds(6))
        }
        #expect(probed == flows.count)
        #expect(most <= 2 * GuestPresence.flowsPerStep)
    }

    @Test func `a guest that stops answering on one flow is probed on all`() throws {
        let (first, host) = try connect()
        let (second, _) = try connect()
        try guest.advance(.seconds(1))
        try host.write("lost".utf8)
        for _ in 0..<600 where guest.engine.tcp.count == 2 { try guest.advance(.seconds(1)) }
        #expect(guest.engine.tcp.count == 1)
        _ = try second.takeAll()
        try guest.advance(.milliseconds(101))
        try second.expect(.ack, at: 0)
        _ = first
    }
}
