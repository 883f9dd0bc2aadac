import Testing

@testable import RDNetKit

@Suite("TCP handshake of a guest")
struct TCPHandshakeTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    private func connection(_ port: UInt16) -> ScriptedConnection {
        ScriptedConnection(guest, to: Endpoint(address: ScriptedGuest.hostAlias, port: port))
    }

    @Test func `SYN-ACK carries our MSS, scale and SACK, and an unscaled window (RFC 7323, 2.2)`()
        throws
    {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn, options: .usual)
        let answer = try tcp.expect([.syn, .ack], at: 0, ack: 1)
        #expect(answer.options.maximumSegmentSize == 1460)
        #expect(answer.options.windowScale == 7)
        #expect(answer.options.sackPermitted)
        #expect(answer.window == 65_535)
    }

    @Test
    func `a SYN without options gets none that it did not offer (RFC 7323, 2.2; RFC 2018, 2)`()
        throws
    {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn)
        let answer = try tcp.expect([.syn, .ack], at: 0, ack: 1)
        #expect(answer.options.windowScale == nil)
        #expect(!answer.options.sackPermitted)
        tcp.send(.ack)
        try guest.settle()
        let host = try #require(try listener.accept())
        try host.write([UInt8](repeating: 7, count: 3000))
        let lengths = try tcp.takeAll().map { $0.payload.count }
        // The default segment size is 536 bytes (RFC 9293, 3.7.1).
        #expect(lengths.max() == 536)
        #expect(lengths.reduce(0, +) == 3000)
    }

    @Test func `a refused port is answered by RST, ACK (RFC 9293, 3.10.7.1)`() throws {
        let tcp = connection(try HostListener.refusedPort())
        tcp.send(.syn, options: .usual)
        let answer = try tcp.expect([.rst, .ack], ack: 1)
        #expect(answer.sequence == 0 || answer.window >= 0)
        try guest.settle()
        #expect(guest.engine.tcp.count == 0)
        #expect(guest.engine.tcp.counters.refused == 1)
    }

    @Test func `a gateway port without a service is refused`() throws {
        let tcp = ScriptedConnection(guest, to: Endpoint(address: ScriptedGuest.gateway, port: 9))
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `a repeated SYN gets the same SYN-ACK (RFC 9293, 3.8.1)`() throws {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn, at: 0, options: .usual)
        let first = try tcp.expect([.syn, .ack], ack: 1)
        tcp.send(.syn, at: 0, options: .usual)
        let second = try tcp.expect([.syn, .ack], at: 0, ack: 1)
        #expect(second.options == first.options)
        tcp.next = 1
        tcp.send(.ack)
        tcp.send(.ack, "hello")
        try tcp.expect(.ack, ack: 6)
    }

    @Test func `another SYN during the handshake is challenged (RFC 5961, 4.2)`() throws {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.syn, .ack], ack: 1)
        tcp.send(.syn, at: 77, options: .usual)
        try guest.settle()
        #expect(guest.engine.tcp.count == 1)
        tcp.send(.ack)
        tcp.send(.ack, "hello")
        try guest.settle()
        let host = try #require(try listener.accept())
        #expect(host.text == "hello")
    }

    @Test func `SYN-ACK is repeated with a doubling wait, then given up (RFC 6298, 2.1 and 5.5)`()
        throws
    {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.syn, .ack], ack: 1)
        var wait = Duration.seconds(1)
        for _ in 0..<5 {
            try guest.advance(wait - .milliseconds(10))
            try tcp.expectNothing()
            try guest.advance(.milliseconds(12))
            try tcp.expect([.syn, .ack], at: 0, ack: 1)
            wait *= 2
        }
        try guest.advance(wait + .milliseconds(10))
        #expect(guest.engine.tcp.count == 0)
    }

    @Test
    func `a wrong ACK in a handshake is reset and the handshake goes on (RFC 9293, 3.10.7.4)`()
        throws
    {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.syn, .ack], ack: 1)
        tcp.send(.ack, at: 1, ack: 500)
        try tcp.expect(.rst, at: 500)
        tcp.send(.ack, ack: 1)
        tcp.send(.ack, "hello")
        try tcp.expect(.ack, ack: 6)
    }

    @Test func `an exact reset ends a handshake, an inexact one does not (RFC 5961, 3.2)`() throws {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.syn, .ack], ack: 1)
        tcp.send(.rst, at: 2)
        try guest.settle()
        #expect(guest.engine.tcp.count == 1)
        tcp.send(.rst, at: 1)
        try guest.settle()
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `the handshake's last segment may carry data and FIN`() throws {
        let listener = try HostListener()
        let tcp = connection(listener.port)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.syn, .ack], ack: 1)
        tcp.send([.fin, .ack], "all there is")
        try tcp.expect(.ack, ack: 14)
        let host = try #require(try listener.accept())
        #expect(host.text == "all there is")
        #expect(host.hasEnded)
    }

    @Test func `a stray ACK is reset with its own number (RFC 9293, 3.10.7.1)`() throws {
        let tcp = connection(9)
        tcp.send(.ack, at: 100, ack: 4242)
        let answer = try tcp.expect(.rst, at: 4242)
        #expect(answer.acknowledgment == 0 - Int(Int32(bitPattern: tcp.initial.rawValue)))
    }

    @Test func `a stray FIN without an ACK is reset with ACK (RFC 9293, 3.10.7.1)`() throws {
        let tcp = connection(9)
        tcp.send(.fin, "abc", at: 100)
        let answer = try tcp.expect([.rst, .ack])
        #expect(answer.acknowledgment == 104)
    }

    @Test func `a stray RST is not answered (RFC 9293, 3.10.7.1)`() throws {
        let tcp = connection(9)
        tcp.send(.rst, at: 100)
        tcp.send([.rst, .ack], at: 100)
        try tcp.expectNothing()
    }

    @Test(
        "MSS is honoured",
        arguments: [536, 1000, 1460, 9000]
    )
    func maximumSegmentSize(size: Int) throws {
        var options = GuestWire.TCPOptions.usual
        options.maximumSegmentSize = UInt16(size)
        let (tcp, host) = try guest.connect(to: HostListener(), options: options)
        try host.write([UInt8](repeating: 7, count: 20_000))
        try guest.settle()
        let lengths = try tcp.takeAll().map { $0.payload.count }
        #expect(lengths.max() == min(size, 1460))
        #expect(lengths.reduce(0, +) == 20_000)
        #expect(
            lengths.dropLast().allSatisfy { $0 == min(size, 1460) },
            "whole segments but the last"
        )
    }

    @Test func `unknown and broken options do no harm (RFC 9293, MUST-6 and MUST-7)`() throws {
        let listener = try HostListener()
        for options: [UInt8] in [
            [0xfd, 4, 1, 2], [0xfd, 0, 0, 0], [2, 1, 0, 0], [2, 40, 5, 0xb4], [1, 1, 1, 3],
            [8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1], [5, 10, 0, 0],
        ] {
            let tcp = connection(listener.port)
            var octets = tcp.segment(.syn, options, at: 0, ack: 0, window: 65_535)
            // Declares everything after the fixed header to be options.
            octets[12] = UInt8((20 + options.count) / 4) << 4
            PlainChecksum.store(0, in: &octets, at: 16)
            let pseudo = PlainChecksum.pseudoHeader(
                tcp.local.address,
                tcp.remote.address,
                GuestWire.Transport.tcp,
                octets.count
            )
            PlainChecksum.store(PlainChecksum.of(pseudo + octets), in: &octets, at: 16)
            guest.send(guest.header(GuestWire.Transport.tcp, to: tcp.remote.address), octets)
            try tcp.expect([.syn, .ack], ack: 1)
        }
    }

    @Test func `initial sequence numbers differ between connections and move on (RFC 6528, 3)`()
        throws
    {
        let listener = try HostListener()
        var numbers: Set<SequenceNumber> = []
        for _ in 0..<20 {
            let tcp = connection(listener.port)
            tcp.send(.syn, options: .usual)
            try tcp.expect([.syn, .ack])
            numbers.insert(tcp.peerInitial)
        }
        #expect(numbers.count == 20)
    }

    @Test func `a SYN to another guest or a broadcast address gets no answer and is counted`()
        throws
    {
        for address: UInt32 in [0xc0a8_7f63, 0xc0a8_7fff, 0xffff_ffff, 0xe000_0001, 0x7f00_0001] {
            let before = guest.dropped(.noRoute)
            let remote = Endpoint(address: IPAddress(ipv4: address), port: 80)
            let tcp = ScriptedConnection(guest, to: remote)
            tcp.send(.syn, options: .usual)
            try tcp.expectNothing()
            #expect(guest.dropped(.noRoute) == before + 1)
        }
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `link-local addresses are refused unless allowed`() throws {
        let remote = Endpoint(address: IPAddress(ipv4: 0xa9fe_a9fe), port: 80)
        let tcp = ScriptedConnection(guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], ack: 1)
    }
}
