import Testing

@testable import RDNetKit

@Suite("a guest with a limited number of flows")
struct GuestFlowLimitTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest(limits: GuestLimits(rate: nil, flows: 3))
    }

    private var limited: UInt64 { guest.engine.tcp.limits.count(of: .guestFlows) }

    @Test func `one connection more is refused at once, until another one has ended`() throws {
        let listener = try HostListener()
        let open = try (0..<3).map { _ in try guest.connect(to: listener) }
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: listener.port)
        let refused = ScriptedConnection(guest, to: remote)
        refused.send(.syn, options: .usual)
        try refused.expect([.rst, .ack], ack: 1)
        #expect(limited == 1)
        // A reset ends it without TIME-WAIT.
        open[0].tcp.send(.rst)
        try guest.settle()
        let again = try guest.connect(to: listener)
        again.tcp.send(.ack, "still works")
        open[1].tcp.send(.ack, "so does this")
        try guest.turn(until: {
            for peer in [again.host, open[1].host] { peer.read() }
            return again.host.received.count == 11 && open[1].host.received.count == 12
        })
    }

    @Test func `connections in TIME-WAIT do not count`() throws {
        let listener = try HostListener()
        for _ in 0..<10 {
            let (tcp, host) = try guest.connect(to: listener)
            tcp.send([.fin, .ack])
            try guest.turn(until: {
                host.read()
                return host.hasEnded
            })
            host.close()
            try guest.turn(until: { try tcp.takeAll().contains { $0.flags.contains(.fin) } })
            tcp.send(.ack)
            try guest.settle()
        }
        #expect(limited == 0)
    }

    @Test func `clients of published ports do not count`() throws {
        for _ in 0..<5 {
            let pair = try Socket.pair()
            guest.engine.tcp.open(
                to: Endpoint(address: ScriptedGuest.address, port: 80),
                joining: try pair.one.duplicate(),
                now: guest.clock.now
            )
        }
        #expect(guest.engine.tcp.count == 5)
        _ = try guest.connect(to: HostListener())
        #expect(limited == 0)
    }

    @Test func `for one UDP port more, the one idle for longest gives way`() throws {
        let socket = try HostDatagrams()
        let alias = Endpoint(address: ScriptedGuest.hostAlias, port: socket.port)
        for port in [5_000, 5_001, 5_002, 5_000, 5_003] as [UInt16] {
            guest.sendUDP(from: port, to: alias, [1])
            try guest.advance(.seconds(1))
        }
        #expect(Set(guest.engine.udp.all.map(\.guest.port)) == [5_000, 5_002, 5_003])
        #expect(limited == 1)
    }
}
