import Testing

@testable import RDNetKit

/// A clock that moves by hours at once, as after a machine was suspended or a process was stopped.
@Suite("a jump of the clock")
struct ClockJumpTests {
    private static let jumps: [Duration] = [.seconds(600), .seconds(86_400), .seconds(40_000_000)]

    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    @Test("a quiet connection is probed once at most, and goes on", arguments: jumps)
    func quiet(jump: Duration) throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        try guest.advance(jump)
        #expect(try tcp.takeAll().count <= 1)
        tcp.send(.ack)
        tcp.send(.ack, "still here")
        try tcp.expect(.ack, ack: 11)
        #expect(host.text == "still here")
        #expect(guest.engine.tcp.count == 1)
    }

    @Test("data in flight is sent once more, not given up", arguments: jumps)
    func inFlight(jump: Duration) throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write("data".utf8)
        try tcp.expect(.ack, at: 1, text: "data")
        try guest.advance(jump)
        // An empty probe may come before it, because the connection was idle for so long.
        #expect(try tcp.takeAll().map(\.text).filter { !$0.isEmpty } == ["data"])
        tcp.send(.ack, ack: 5)
        try host.write("more".utf8)
        try tcp.expect(.ack, at: 5, text: "more")
    }

    @Test("UDP and ping flows end, and new ones take their place", arguments: jumps)
    func datagrams(jump: Duration) throws {
        let host = try HostDatagrams(.anyIPv4)
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: host.port)
        for _ in 0..<2 {
            guest.sendUDP(from: 5_000, to: remote, [1])
            #expect(try guest.ping(ScriptedGuest.hostAlias))
            #expect(guest.engine.udp.count == 1)
            try guest.advance(jump)
            #expect(guest.engine.udp.count == 0)
            #expect(guest.engine.echo.count == 0)
        }
    }
}
