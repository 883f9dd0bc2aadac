import Glibc
import Testing

@testable import RDNetKit

@Suite("TCP to a guest")
struct TCPSendingTests {
    /// The two methods of peeking at a socket's bytes.
    enum Peeking: CaseIterable {
        case atOffset
        case readingOver

        var support: PeekOffsetSupport { self == .atOffset ? .probe() : .none }
    }

    private func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    }

    @Test("a download arrives whole and in order", arguments: Peeking.allCases)
    func download(peeking: Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connect(to: HostListener())
        let octets = pattern(60_000)
        try host.write(octets)
        #expect(try tcp.receive(60_000) == octets)
        host.endSending()
        try tcp.expect([.fin, .ack], at: 60_001)
    }

    @Test("a download through a unix socket arrives whole", arguments: Peeking.allCases)
    func downloadFromService(peeking: Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connectToService()
        let octets = pattern(200_000)
        var written = 0
        var received: [UInt8] = []
        while received.count < octets.count {
            written += try host.write(octets[written...])
            for segment in try tcp.takeAll() { received += segment.payload }
            tcp.send(.ack)
        }
        expectBytes(received, equals: octets)
    }

    @Test(
        "nothing beyond the guest's window is sent (RFC 9293, 3.8.6)",
        arguments: Peeking.allCases
    )
    func windowIsKept(peeking: Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connect(to: HostListener(), window: 4000)
        try host.write(pattern(20_000))
        var edge = 4001
        while tcp.seen < 20_001 {
            let segments = try tcp.takeAll()
            try #require(!segments.isEmpty)
            for segment in segments { #expect(segment.sequence + segment.length <= edge) }
            edge = tcp.seen + 4000
            tcp.send(.ack)
        }
    }

    @Test(
        "a shut window is probed with a doubling wait, for ever (RFC 9293, 3.8.6.1)",
        arguments: Peeking.allCases
    )
    func zeroWindow(peeking: Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connect(to: HostListener(), window: 0)
        try host.write("waiting".utf8)
        try tcp.expectNothing()
        var wait = Duration.seconds(1)
        for _ in 0..<20 {
            try guest.advance(wait - .milliseconds(5))
            try tcp.expectNothing()
            try guest.advance(.milliseconds(10))
            let probe = try tcp.expect(.ack)
            #expect(probe.sequence <= 1, "a probe that any guest answers")
            tcp.send(.ack)
            try tcp.expectNothing()
            wait = min(wait * 2, .seconds(60))
        }
        tcp.window = 3
        tcp.send(.ack)
        try tcp.expect(.ack, at: 1, text: "wai")
        tcp.window = 65_535
        tcp.send(.ack)
        try tcp.expect(.ack, at: 4, text: "ting")
    }

    @Test func `a lost segment behind an opened window is not held up by the probes before`() throws
    {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener(), window: 0)
        try host.write("waiting".utf8)
        try guest.settle()
        for _ in 0..<8 {
            try guest.advance(.seconds(65))
            _ = try tcp.takeAll()
            tcp.send(.ack)
        }
        tcp.window = 1000
        tcp.send(.ack)
        try tcp.expect(.ack, at: 1, text: "waiting")
        try guest.advance(.milliseconds(1100))
        try tcp.expect(.ack, at: 1, text: "waiting")
    }

    @Test func `the end of the stream needs no window`() throws {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener(), window: 0)
        host.endSending()
        try guest.advance(.milliseconds(1010))
        try tcp.expect([.fin, .ack], at: 1)
        tcp.send(.ack)
        // Less than the 4 minutes after which a half-closed flow is probed.
        try guest.advance(.seconds(200))
        try tcp.expectNothing()
    }

    @Test func `a window that opens while nothing waits needs no probe`() throws {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener(), window: 0)
        try guest.advance(.seconds(100))
        try tcp.expectNothing()
        tcp.window = 1000
        tcp.send(.ack)
        try host.write("now".utf8)
        try tcp.expect(.ack, at: 1, text: "now")
    }

    @Test func `a shrunk window is survived (RFC 9293, 3.8.6)`() throws {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener(), window: 8000)
        let octets = pattern(12_000)
        try host.write(octets)
        try guest.settle()
        _ = try tcp.takeAll()
        tcp.window = 1000
        tcp.send(.ack, ack: 1461)
        try tcp.expectNothing()
        var received = Array(octets[..<1460])
        for _ in 0..<60 where received.count < octets.count {
            try guest.advance(.seconds(3))
            for segment in try tcp.takeAll() where segment.sequence == 1 + received.count {
                received += segment.payload.prefix(1000)
            }
            tcp.window = received.count > 5000 ? 20_000 : 1000
            tcp.send(.ack, ack: 1 + received.count)
        }
        expectBytes(received, equals: octets)
    }

    @Test
    func `small writes wait for a whole segment while one is in flight only at the window's end`()
        throws
    {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener(), window: 3000)
        try host.write(pattern(10_000))
        // 80 bytes of window remain: less than a segment, and not worth sending (RFC 9293,
        // 3.8.6.2.1).
        #expect(try tcp.takeAll().map { $0.payload.count } == [1460, 1460])
        tcp.send(.ack)
        #expect(try tcp.takeAll().map { $0.payload.count } == [1460, 1460])
    }

    @Test func `a full link is waited for, and sending goes on when it has room`() throws {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        guest.link.bulkLimit = 3000
        let octets = pattern(60_000)
        try host.write(octets)
        var received: [UInt8] = []
        // No acknowledgment wakes the flow, only the link's room.
        for _ in 0..<60 {
            try guest.settle()
            for segment in try tcp.takeAll() { received += segment.payload }
        }
        expectBytes(received, equals: octets)
    }

    @Test func `a flow that its link had no room for does not wait for another event`() throws {
        let guest = try ScriptedGuest()
        let (_, first) = try guest.connectToService()
        let (tcp, second) = try guest.connectToService()
        guest.link.bulkLimit = 1
        try first.write(pattern(1000))
        try second.write(pattern(1000))
        try guest.loop.turn(waitingAtMost: .zero)
        // The blocked flow is due at once: the loop must not sleep, whatever its limit.
        try guest.loop.turn(waitingAtMost: .seconds(3600))
        try guest.settle()
        #expect(try tcp.takeAll().map { $0.payload.count } == [1000])
    }

    @Test func `an idle connection is probed, and ended when nobody answers (RFC 9293, 3.8.4)`()
        throws
    {
        let guest = try ScriptedGuest()
        let (tcp, host) = try guest.connect(to: HostListener())
        try guest.advance(.seconds(7430))
        try tcp.expectNothing()
        try guest.advance(.seconds(11))
        try tcp.expect(.ack, at: 0, ack: 1)
        tcp.send(.ack)
        try guest.advance(.seconds(7430))
        try tcp.expectNothing()
        for _ in 0..<12 { try guest.advance(.seconds(75)) }
        #expect(guest.engine.tcp.count == 0)
        #expect(host.readsReset())
    }
}
