import Testing

@testable import RDNetKit

@Suite("TCP timestamps (RFC 7323)")
final class TCPTimestampTests {
    private let guest: ScriptedGuest
    private let listener: HostListener
    /// Keeps the peers alive: a released peer closes its connection.
    private var hosts: [HostPeer] = []

    init() throws {
        ProcessLimits.raiseDescriptors()
        guest = try ScriptedGuest()
        listener = try HostListener()
    }

    // MARK: Negotiation

    @Test func `a SYN with the option gets it back, with the guest's clock echoed`() throws {
        let (tcp, _, answer) = try open(clock: 1_000)
        #expect(answer.options.timestamps?.echo == 1_000)
        tcp.send(.ack, "x", options: .clock(1_001))
        let segment = try tcp.expect(.ack, ack: 2)
        #expect(segment.options.timestamps?.echo == 1_001)
    }

    @Test func `a guest that does not offer the option never gets it`() throws {
        let (tcp, host) = try guest.connect(to: listener)
        try host.write("data".utf8)
        let segment = try tcp.expect(.ack, at: 1, text: "data")
        #expect(segment.options.timestamps == nil)
    }

    @Test func `the option stands where Linux looks for it first (RFC 7323, appendix A)`() throws {
        let (_, host, _) = try open(clock: 0x0102_0304)
        guest.forgetPackets()
        try host.write("data".utf8)
        let frame = try nextFrame().octets
        // Data offset 8: a header of 20 bytes and 12 bytes of options.
        #expect(frame[46] >> 4 == 8)
        // NOP, NOP, kind 8, length 10, TSval, TSecr.
        #expect(frame[54..<58] == [1, 1, 8, 10])
        #expect(frame[62..<66] == [1, 2, 3, 4])
        #expect(String(decoding: frame[66...], as: UTF8.self) == "data")
    }

    @Test func `our clock counts milliseconds, from another start for each remote address`() throws
    {
        let (tcp, host, answer) = try open(clock: 5)
        try guest.advance(.milliseconds(250))
        try host.write("data".utf8)
        let segment = try tcp.expect(.ack, at: 1, text: "data")
        let first = try #require(answer.options.timestamps).value
        #expect(try #require(segment.options.timestamps).value &- first == 250)
        guest.serve(7)
        let other = ScriptedConnection(guest, to: Endpoint(address: ScriptedGuest.gateway, port: 7))
        other.send(.syn, options: .clock(5, .usual))
        let elsewhere = try other.expect([.syn, .ack]).options.timestamps
        // Random offsets are this close to each other once in 4 million runs.
        #expect(try #require(elsewhere).value &- first > 1_000)
    }

    @Test func `the answer to a repeated SYN echoes the repetition's clock`() throws {
        let tcp = ScriptedConnection(guest, to: alias)
        tcp.send(.syn, options: .clock(1, .usual))
        try tcp.expect([.syn, .ack], at: 0, ack: 1)
        tcp.send(.syn, at: 0, options: .clock(1_001, .usual))
        #expect(try tcp.expect([.syn, .ack]).options.timestamps?.echo == 1_001)
    }

    @Test(
        "a published port offers the option, and uses it if the guest does",
        arguments: [true, false]
    )
    func publishedPort(guestHasIt: Bool) throws {
        let pair = try Socket.pair()
        let host = HostPeer(try pair.other.duplicate())
        guest.engine.connect(
            to: Endpoint(address: ScriptedGuest.address, port: 80),
            joining: try pair.one.duplicate()
        )
        try guest.settle()
        let port = try #require(try guest.peekTCP().last).sourcePort
        let remote = Endpoint(address: ScriptedGuest.gateway, port: port)
        let tcp = ScriptedConnection(guest, to: remote, from: 80)
        #expect(try tcp.expect(.syn, at: 0).options.timestamps?.echo == 0)
        tcp.send([.syn, .ack], options: guestHasIt ? .clock(9, .usual) : .usual)
        #expect(try tcp.expect(.ack).options.timestamps?.echo == (guestHasIt ? 9 : nil))
        try host.write("hello".utf8)
        let data = try tcp.expect(.ack, at: 1, text: "hello")
        #expect((data.options.timestamps != nil) == guestHasIt)
    }

    // MARK: Segment sizes

    @Test("the option's 12 octets come off every segment", arguments: [536, 1460, 9000])
    func segmentSize(offered: UInt16) throws {
        var options = GuestWire.TCPOptions.clock(1, .usual)
        options.maximumSegmentSize = offered
        let (tcp, host, _) = try open(options: options)
        guest.forgetPackets()
        try host.write([UInt8](repeating: 7, count: 20_000))
        try guest.settle()
        let expected = min(Int(offered), 1460) - 12
        let segment = try tcp.expect(.ack, at: 1)
        #expect(segment.payload.count == expected)
        #expect(segment.options.timestamps != nil)
    }

    @Test func `a super-frame says so too: its segments with their headers fit the MTU`() throws {
        let (_, host, _) = try open(clock: 1)
        guest.forgetPackets()
        try host.write([UInt8](repeating: 7, count: 20_000))
        let frame = try nextFrame()
        #expect(frame.header.segmentSize == 1448)
        #expect(frame.header.headerLength == 66)
    }

    @Test func `a smaller path MTU leaves room for the option`() throws {
        let (tcp, host, _) = try open(clock: 1)
        try host.write([UInt8](repeating: 7, count: 1448))
        try tcp.expect(.ack, at: 1, length: 1448)
        tcp.reportTooLong(mtu: 1000, sequence: 1)
        #expect(try tcp.expect(.ack, at: 1).payload.count == 948)
    }

    @Test func `beside the option a segment has room for three SACK blocks`() throws {
        let (tcp, _, _) = try open(clock: 1)
        for start in stride(from: 10, to: 60, by: 10) {
            tcp.send(.ack, "abc", at: start, options: .clock(2))
        }
        let answer = try #require(try tcp.takeAll().last)
        #expect(answer.options.sackBlocks.count == 3)
        #expect(answer.options.timestamps?.echo == 1)
    }

    // MARK: PAWS

    @Test func `a segment with an older clock is acknowledged and dropped`() throws {
        let (tcp, host, _) = try open(clock: 1_000)
        tcp.send(.ack, "old", at: 1, options: .clock(999))
        let answer = try tcp.expect(.ack, ack: 1)
        #expect(answer.options.timestamps?.echo == 1_000)
        #expect(guest.engine.tcp.counters.outdated == 1)
        tcp.send(.ack, "new", at: 1, options: .clock(1_000))
        try tcp.expect(.ack, ack: 4)
        #expect(host.text == "new")
    }

    @Test func `the clock may wrap`() throws {
        let (tcp, host, _) = try open(clock: 0xffff_fff0)
        tcp.send(.ack, "after", options: .clock(0x10))
        #expect(try tcp.expect(.ack, ack: 6).options.timestamps?.echo == 0x10)
        tcp.send(.ack, "before", at: 6, options: .clock(0xffff_fffe))
        try tcp.expect(.ack, ack: 6)
        #expect(host.text == "after")
    }

    @Test func `a reset counts whatever its clock says`() throws {
        let (tcp, host, _) = try open(clock: 1_000)
        tcp.send([.rst, .ack], options: .clock(1))
        try guest.turn(until: { guest.engine.tcp.count == 0 })
        #expect(host.readsReset())
    }

    @Test func `a segment without the option is accepted, as Linux does`() throws {
        let (tcp, host, _) = try open(clock: 1_000)
        tcp.send(.ack, "bare")
        try tcp.expect(.ack, ack: 5)
        #expect(host.text == "bare")
    }

    @Test func `after 24 idle days an old clock is none: the guest's may have wrapped`() throws {
        var clock = TCPTimestamps(offset: 0)
        clock.begin(with: .segment(at: 1, .clock(1_000)), now: Instant(nanoseconds: 0))
        let older = TCPHeader.segment(at: 2, .clock(999))
        let days = Instant(nanoseconds: 0) + .seconds(24 * 86_400)
        #expect(!clock.admits(older, now: days))
        #expect(clock.admits(older, now: days + .seconds(1)))
        clock.note(older, now: days + .seconds(1))
        #expect(clock.recent == 999)
        #expect(!clock.admits(.segment(at: 2, .clock(998)), now: days + .seconds(2)))
    }

    @Test func `early segments do not change what is echoed (RFC 7323, 4.3)`() throws {
        let (tcp, _, _) = try open(clock: 1_000)
        tcp.send(.ack, "late", at: 5, options: .clock(1_020))
        #expect(try tcp.expect(.ack, ack: 1).options.timestamps?.echo == 1_000)
        tcp.send(.ack, "gone", at: 1, options: .clock(1_010))
        #expect(try tcp.expect(.ack, ack: 9).options.timestamps?.echo == 1_010)
    }

    @Test func `a SYN of an earlier connection does not count as the guest's answer`() throws {
        let tcp = ScriptedConnection(guest, to: alias)
        tcp.send(.syn, options: .clock(1_000, .usual))
        try tcp.expect([.syn, .ack], at: 0, ack: 1)
        tcp.send(.ack, options: .clock(10))
        try guest.settle()
        #expect(guest.engine.tcp.counters.established == 0)
        tcp.send(.ack, options: .clock(1_000))
        try guest.settle()
        #expect(guest.engine.tcp.counters.established == 1)
    }

    // MARK: Round trips

    @Test func `a round trip is measured although everything was sent twice`() throws {
        let (tcp, host, _) = try open(clock: 1)
        try host.write("data".utf8)
        try tcp.expect(.ack, at: 1, text: "data")
        // The path takes 3 s, so both the first timeout (1 s) and the second are premature.
        try guest.advance(.milliseconds(1_010))
        let second = try tcp.expect(.ack, at: 1, text: "data").options.timestamps
        try guest.advance(.milliseconds(500))
        tcp.send(.ack, ack: 5, options: .clock(600, echo: try #require(second).value))
        try guest.settle()
        try host.write("more".utf8)
        try tcp.expect(.ack, at: 5, text: "more")
        // 500 ms plus four times half of that; without the echo, the timeout would still be 1 s.
        try guest.advance(.milliseconds(1_100))
        try tcp.expectNothing()
        try guest.advance(.milliseconds(450))
        try tcp.expect(.ack, at: 5, text: "more")
    }

    @Test func `an echo that nobody sent measures nothing`() throws {
        let clock = Instant(nanoseconds: 5_000_000_000)
        var timestamps = TCPTimestamps(offset: 100)
        timestamps.begin(with: .segment(at: 1, .clock(1)), now: clock)
        func roundTrip(_ echo: UInt32) -> Duration? {
            let header = TCPHeader.segment(at: 2, .clock(2, echo: echo))
            return timestamps.roundTrip(header, since: clock, now: clock + .milliseconds(50))
        }
        #expect(roundTrip(5_100) == .milliseconds(50))
        #expect(roundTrip(0) == nil)
        #expect(roundTrip(5_200) == nil, "from the future")
        #expect(roundTrip(4_000) == nil, "before the connection")
    }

    // MARK: TIME-WAIT

    @Test(
        "TIME-WAIT gives way to a newer clock, or to the same clock and a later number (RFC 6191)",
        arguments: [
            (clock: 2_001, initial: 500, replaces: true), (2_000, 500, false),
            (2_000, 90_000, true), (1_999, 90_000, false), (nil, 90_000, true), (nil, 500, false),
        ] as [(clock: UInt32?, initial: UInt32, replaces: Bool)]
    )
    func timeWait(clock: UInt32?, initial: UInt32, replaces: Bool) throws {
        let (tcp, host, _) = try open(clock: 1_000)
        host.endSending()
        try tcp.expect([.fin, .ack], at: 1)
        tcp.send([.fin, .ack], ack: 2, options: .clock(2_000))
        try tcp.expect(.ack, at: 2, ack: 2)
        #expect(guest.engine.tcp.count == 1)
        let next = ScriptedConnection(guest, to: tcp.remote, from: tcp.local.port, initial: initial)
        next.send(.syn, options: clock.map { .clock($0, .usual) } ?? .usual)
        try guest.settle()
        let answer = try next.takeAll().first
        #expect((answer?.flags == [.syn, .ack]) == replaces)
        // The answer is never silence: a restarted guest responds to it with a reset, which ends
        // TIME-WAIT.
        #expect(answer != nil)
    }

    @Test func `TIME-WAIT without timestamps gives way to a SYN that has them (RFC 6191)`() throws {
        let (tcp, host) = try guest.connect(to: listener)
        host.endSending()
        try tcp.expect([.fin, .ack], at: 1)
        tcp.send([.fin, .ack], ack: 2)
        try tcp.expect(.ack, at: 2, ack: 2)
        let next = ScriptedConnection(guest, to: tcp.remote, from: tcp.local.port, initial: 500)
        next.send(.syn, options: .clock(1, .usual))
        try next.expect([.syn, .ack], at: 0, ack: 1)
    }

    // MARK: Scene

    private var alias: Endpoint {
        Endpoint(address: ScriptedGuest.hostAlias, port: listener.port)
    }

    /// Returns the first frame that the engine sends, unchanged.
    private func nextFrame() throws -> RecordingLink.Sent {
        try guest.loop.turn { !guest.link.sent.isEmpty }
        return try #require(guest.link.sent.first)
    }

    /// Opens a connection with timestamps.
    private func open(
        clock: UInt32
    ) throws -> (ScriptedConnection, HostPeer, answer: ScriptedSegment) {
        try open(options: .clock(clock, .usual))
    }

    private func open(
        options: GuestWire.TCPOptions
    ) throws -> (ScriptedConnection, HostPeer, answer: ScriptedSegment) {
        let tcp = ScriptedConnection(guest, to: alias)
        tcp.send(.syn, options: options)
        let answer = try tcp.expect([.syn, .ack], at: 0, ack: 1)
        let echo = try #require(answer.options.timestamps).value
        let clock = try #require(options.timestamps).value
        tcp.send(.ack, options: .clock(clock, echo: echo))
        try guest.settle()
        let host = try #require(try listener.accept())
        hosts.append(host)
        return (tcp, host, answer)
    }
}

extension GuestWire.TCPOptions {
    /// Returns options with a timestamp.
    static func clock(
        _ value: UInt32,
        _ others: GuestWire.TCPOptions = GuestWire.TCPOptions(),
        echo: UInt32 = 0
    ) -> GuestWire.TCPOptions {
        var options = others
        options.timestamps = GuestWire.Timestamps(value: value, echo: echo)
        return options
    }
}

extension TCPTimestampOption {
    fileprivate static func clock(_ value: UInt32, echo: UInt32 = 0) -> TCPTimestampOption {
        TCPTimestampOption(value: value, echo: echo)
    }
}

extension TCPHeader {
    /// Returns an ACK with a sequence number, for tests of `TCPTimestamps` alone.
    fileprivate static func segment(
        at sequence: UInt32,
        _ timestamps: TCPTimestampOption
    ) -> TCPHeader {
        var header = TCPHeader(
            sourcePort: 1,
            destinationPort: 2,
            sequence: SequenceNumber(sequence),
            acknowledgment: SequenceNumber(0),
            flags: .ack,
            window: 0
        )
        header.options.timestamps = timestamps
        return header
    }
}
