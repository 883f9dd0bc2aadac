import Testing

@testable import RDNetKit

@Suite("TCP from a guest")
struct TCPReceivingTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    @Test func `data reach the host and are acknowledged once a turn (RFC 9293, 3.8.6.3)`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send(.ack, "hello")
        tcp.send(.ack, ", world")
        try tcp.expect(.ack, at: 1, ack: 13, length: 0)
        try tcp.expectNothing()
        #expect(host.text == "hello, world")
    }

    @Test func `a reset outside the window is ignored (RFC 9293, 3.10.7.4)`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send(.rst, at: 1 + (1 << 20))
        tcp.send(.rst, at: 0)
        try tcp.expectNothing()
        tcp.send(.ack, "alive")
        try tcp.expect(.ack, ack: 6)
        #expect(host.text == "alive")
    }

    @Test func `a reset inside the window but not exact is challenged (RFC 5961, 3.2)`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send(.rst, at: 100)
        try tcp.expect(.ack, at: 1, ack: 1, length: 0)
        tcp.send(.ack, "alive")
        try tcp.expect(.ack, ack: 6)
        #expect(host.text == "alive")
        #expect(guest.engine.tcp.counters.challenges == 1)
    }

    @Test func `a SYN on an open connection is challenged (RFC 5961, 4.2)`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send(.syn, at: 50, options: .usual)
        try tcp.expect(.ack, at: 1, ack: 1)
        tcp.send(.ack, "alive")
        try tcp.expect(.ack, ack: 6)
        #expect(host.text == "alive")
    }

    @Test func `challenges are limited in rate (RFC 5961, 7)`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        for _ in 0..<10 {
            tcp.send(.rst, at: 100)
            try guest.settle()
        }
        #expect(try tcp.takeAll().count == 1)
        try guest.advance(.milliseconds(101))
        tcp.send(.rst, at: 100)
        try tcp.expect(.ack, at: 1, ack: 1)
        #expect(host.text == "")
    }

    @Test func `early data are kept and reported by SACK, latest first (RFC 2018, 4)`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send(.ack, "fgh", at: 6)
        let first = try tcp.expect(.ack, ack: 1)
        #expect(tcp.blocks(first) == [6..<9])
        tcp.send(.ack, "klm", at: 11)
        let second = try tcp.expect(.ack, ack: 1)
        #expect(tcp.blocks(second) == [11..<14, 6..<9])
        tcp.send(.ack, "i", at: 9)
        let third = try tcp.expect(.ack, ack: 1)
        #expect(tcp.blocks(third) == [6..<10, 11..<14])
        tcp.send(.ack, "abcde", at: 1)
        let fourth = try tcp.expect(.ack, ack: 10)
        #expect(tcp.blocks(fourth) == [11..<14])
        tcp.send(.ack, "j", at: 10)
        let last = try tcp.expect(.ack, ack: 14)
        #expect(last.options.sackBlocks.isEmpty)
        #expect(host.text == "abcdefghijklm")
    }

    @Test func `a guest that did not offer SACK gets no blocks (RFC 2018, 2)`() throws {
        var options = GuestWire.TCPOptions.usual
        options.sackPermitted = false
        let (tcp, host) = try guest.connectToService(options: options)
        tcp.send(.ack, "fgh", at: 6)
        let answer = try tcp.expect(.ack, ack: 1)
        #expect(answer.options == GuestWire.TCPOptions())
        tcp.send(.ack, "abcde", at: 1)
        try tcp.expect(.ack, ack: 9)
        #expect(host.text == "abcdefgh")
    }

    @Test func `an overlap is trimmed, the first copy stays (RFC 9293, 3.10.7.4)`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send(.ack, "abcd", at: 1)
        tcp.send(.ack, "CDef", at: 3)
        try tcp.expect(.ack, ack: 7)
        tcp.send(.ack, "xyz", at: 9)
        try tcp.expect(.ack, ack: 7)
        tcp.send(.ack, "ghXYZ12", at: 7)
        try tcp.expect(.ack, ack: 14)
        #expect(host.text == "abcdefghXYZ12")
    }

    @Test func `an old duplicate is acknowledged and not delivered again`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send(.ack, "abcd")
        try tcp.expect(.ack, ack: 5)
        tcp.send(.ack, "abcd", at: 1)
        try tcp.expect(.ack, ack: 5, length: 0)
        #expect(host.text == "abcd")
    }

    @Test(
        "a keep-alive probe is answered (RFC 9293, 3.8.4)",
        arguments: ["", "x"]
    )
    func keepAlive(garbage: String) throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send(.ack, "abc")
        try tcp.expect(.ack, ack: 4)
        tcp.send(.ack, garbage, at: 3)
        try tcp.expect(.ack, at: 1, ack: 4, length: 0)
        #expect(host.text == "abc")
    }

    @Test func `data far outside the window are answered and dropped`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send(.ack, "evil", at: 1 << 24)
        try tcp.expect(.ack, at: 1, ack: 1, length: 0)
        tcp.send(.ack, "good")
        try tcp.expect(.ack, ack: 5)
        #expect(host.text == "good")
    }

    @Test func `an ACK of what was never sent is answered and its data dropped`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send(.ack, "evil", at: 1, ack: 1000)
        try tcp.expect(.ack, at: 1, ack: 1, length: 0)
        tcp.send(.ack, "good")
        try tcp.expect(.ack, ack: 5)
        #expect(host.text == "good")
    }

    @Test func `an ACK older than any window is challenged (RFC 5961, 5.2)`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send(.ack, "evil", at: 1, ack: 1 - 70_000)
        try tcp.expect(.ack, at: 1, ack: 1, length: 0)
        #expect(host.text == "")
    }

    @Test func `data without an ACK bit are dropped (RFC 9293, 3.10.7.4, fifth)`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send([], "evil", at: 1)
        try tcp.expectNothing()
        #expect(host.text == "")
    }

    @Test func `a FIN out of order waits for what is before it`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send([.fin, .ack], "def", at: 4)
        try tcp.expect(.ack, ack: 1)
        #expect(host.text == "")
        #expect(!host.hasEnded)
        tcp.send(.ack, "abc", at: 1)
        try tcp.expect(.ack, ack: 8)
        #expect(host.text == "abcdef")
        #expect(host.hasEnded)
    }

    @Test func `text behind a FIN is ignored (RFC 9293, 3.10.7.4, seventh)`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send([.fin, .ack], "abc")
        try tcp.expect(.ack, ack: 5)
        tcp.send(.ack, "more", at: 5)
        try tcp.expect(.ack, ack: 5)
        #expect(host.text == "abc")
        try host.write("still open".utf8)
        try tcp.expect(.ack, ack: 5, text: "still open")
    }

    @Test func `text behind a FIN that is early is ignored too`() throws {
        let (tcp, host) = try guest.connectToService()
        tcp.send([.fin, .ack], "def", at: 4)
        tcp.send(.ack, "evil", at: 7)
        tcp.send(.ack, "abcdefevil", at: 1)
        _ = try tcp.takeAll()
        #expect(host.text == "abcdef")
        #expect(host.hasEnded)
    }

    @Test func `a repeated FIN is acknowledged again`() throws {
        let (tcp, _) = try guest.connectToService()
        tcp.send([.fin, .ack])
        try tcp.expect(.ack, ack: 2)
        tcp.send([.fin, .ack], at: 1)
        try tcp.expect(.ack, ack: 2)
    }

    @Test func `urgent data are data like any other (RFC 6093)`() throws {
        let (tcp, host) = try guest.connectToService()
        var octets = tcp.segment(.ack, Array("urgent".utf8), at: 1, ack: 1, window: 65_535)
        // Sets URG and urgent pointer 3, then recomputes the checksum.
        octets[13] |= 0x20
        octets[19] = 3
        PlainChecksum.store(0, in: &octets, at: 16)
        let pseudo = PlainChecksum.pseudoHeader(
            tcp.local.address,
            tcp.remote.address,
            GuestWire.Transport.tcp,
            octets.count
        )
        PlainChecksum.store(PlainChecksum.of(pseudo + octets), in: &octets, at: 16)
        guest.send(guest.header(GuestWire.Transport.tcp, to: tcp.remote.address), octets)
        try tcp.expect(.ack, ack: 7)
        #expect(host.text == "urgent")
    }

    @Test func `a bad checksum is dropped and counted (RFC 9293, 3.1)`() throws {
        let (tcp, host) = try guest.connectToService()
        var octets = tcp.segment(.ack, Array("evil".utf8), at: 1, ack: 1, window: 65_535)
        octets[20] ^= 1
        let before = guest.dropped(.badChecksum)
        guest.send(guest.header(GuestWire.Transport.tcp, to: tcp.remote.address), octets)
        try tcp.expectNothing()
        #expect(guest.dropped(.badChecksum) == before + 1)
        #expect(host.text == "")
    }

    @Test func `an unfinished checksum is trusted where the link says so`() throws {
        let (tcp, host) = try guest.connectToService()
        var octets = tcp.segment(.ack, Array("local".utf8), at: 1, ack: 1, window: 65_535)
        octets[16] = 0
        octets[17] = 0
        let ip = guest.header(GuestWire.Transport.tcp, to: tcp.remote.address)
        var offload = VirtioNetHeader()
        offload.needsChecksum = true
        offload.checksumStart = 34
        offload.checksumOffset = 16
        guest.send(frame: guest.frame(ip, octets), offload)
        try tcp.expect(.ack, ack: 6)
        #expect(host.text == "local")
    }

    @Test(
        "sequence numbers wrap",
        arguments: [0xffff_fff0 as UInt32, 0xffff_ffff, 0x7fff_fff0]
    )
    func wrap(initial: UInt32) throws {
        let (tcp, host) = try guest.connectToService(initial: initial)
        let text = String(repeating: "0123456789", count: 10)
        tcp.send(.ack, String(text.dropFirst(50)), at: 51)
        let answer = try tcp.expect(.ack, ack: 1)
        #expect(tcp.blocks(answer) == [51..<101])
        tcp.send(.ack, String(text.prefix(50)), at: 1)
        try tcp.expect(.ack, ack: 101)
        tcp.next = 101
        tcp.send([.fin, .ack])
        try tcp.expect(.ack, ack: 102)
        #expect(host.text == text)
        #expect(host.hasEnded)
    }

    @Test func `a tiny segment each is acknowledged at once (RFC 1122, 4.2.3.2)`() throws {
        let (tcp, host) = try guest.connectToService()
        for index in 1...20 {
            tcp.send(.ack, "x")
            try tcp.expect(.ack, ack: 1 + index)
        }
        #expect(host.text.count == 20)
    }
}

extension ScriptedConnection {
    /// A segment's SACK blocks, counted from the guest's SYN.
    func blocks(_ segment: ScriptedSegment) -> [Range<Int>] {
        segment.options.sackBlocks.map { ($0.start - initial)..<($0.end - initial) }
    }
}
