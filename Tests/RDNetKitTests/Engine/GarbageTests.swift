import Testing

@testable import RDNetKit

@Suite("garbage from a guest")
struct GarbageTests {
    private let guest: ScriptedGuest

    init() throws {
        ProcessLimits.raiseDescriptors()
        guest = try ScriptedGuest()
    }

    /// Checks that ping and a new connection still work.
    private func expectService() throws {
        guest.forgetPackets()
        try guest.advance(.seconds(1))
        guest.forgetPackets()
        #expect(try guest.ping(ScriptedGuest.gateway))
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send(.ack, "still here")
        try tcp.expect(.ack, ack: 11)
        #expect(host.text == "still here")
        try host.write("so are we".utf8)
        try tcp.expect(.ack, at: 1, text: "so are we")
    }

    @Test("runts of a frame's header are dropped and counted", arguments: 0..<14)
    func runts(length: Int) throws {
        guest.send(frame: [UInt8](repeating: 0x5a, count: length))
        #expect(guest.dropped(.malformed) == 1)
        try expectService()
    }

    @Test func `every frame cut short at every octet`() throws {
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 9)
        let tcp = ScriptedConnection(guest, to: remote)
        let frames = [
            guest.frame(
                guest.header(GuestWire.Transport.tcp, to: remote.address),
                tcp.segment(.syn, at: 0, ack: 0, window: 1, options: .usual)
            ),
            guest.frame(
                guest.header(GuestWire.Transport.udp, to: remote.address),
                guest.datagram(from: 1, to: remote, [1, 2, 3])
            ),
            guest.frame(
                guest.header(GuestWire.Transport.icmp, to: remote.address),
                ScriptedGuest.icmp(.echoRequest, rest: 1, [1, 2, 3])
            ),
        ]
        for frame in frames {
            for length in 0..<frame.count {
                let before = guest.engine.drops.total
                guest.send(frame: Array(frame.prefix(length)))
                #expect(guest.engine.drops.total == before + 1)
            }
        }
        #expect(guest.engine.tcp.count == 0)
        #expect(guest.engine.udp.count == 0)
        try expectService()
    }

    @Test(
        "headers with any octet changed are counted or answered, never more",
        arguments: [UInt64](1...8)
    )
    func changedOctets(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let (tcp, _) = try guest.connectToService()
        let ip = guest.header(GuestWire.Transport.tcp, to: tcp.remote.address)
        let good = guest.frame(
            ip,
            tcp.segment(.ack, Array("data".utf8), at: 1, ack: 1, window: 9, options: .usual)
        )
        var trusted = VirtioNetHeader()
        trusted.checksumIsValid = true
        for _ in 0..<500 {
            var frame = good
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                frame[Int.random(in: 0..<frame.count, using: &random)] = random.next(
                    upperBound: 255
                )
            }
            if Bool.random(using: &random) {
                PlainChecksum.store(0, in: &frame, at: 24)
                PlainChecksum.store(PlainChecksum.of(Array(frame[14..<34])), in: &frame, at: 24)
            }
            guest.send(frame: frame, trusted)
            if Int.random(in: 0..<20, using: &random) == 0 { try guest.settle() }
        }
        #expect(guest.engine.tcp.count < 100)
        try expectService()
    }

    @Test("2,500 random frames", arguments: [UInt64](1...4))
    func randomFrames(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<2500 {
            var frame = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                random.next(upperBound: 255 as UInt8)
            }
            // Makes most frames partly valid; a random destination address would stop nearly all of
            // them.
            let depth = Int.random(in: 0..<5, using: &random)
            if depth > 0, frame.count >= 14 {
                frame.replaceSubrange(0..<6, with: MACAddress.standardGateway.octets)
                frame.replaceSubrange(12..<14, with: [8, Bool.random(using: &random) ? 0 : 6])
            }
            if depth > 1, frame.count >= 34 {
                frame[14] = 0x45
                frame[15 + 1] = 0
                frame[17] = UInt8(frame.count - 14)
                frame.replaceSubrange(20..<22, with: depth > 2 ? [0, 0] : [frame[20], frame[21]])
                frame[23] = [1, 6, 17][Int.random(in: 0..<3, using: &random)]
                frame.replaceSubrange(26..<30, with: ScriptedGuest.address.octets)
                frame.replaceSubrange(30..<34, with: ScriptedGuest.gateway.octets)
                PlainChecksum.store(0, in: &frame, at: 24)
                PlainChecksum.store(PlainChecksum.of(Array(frame[14..<34])), in: &frame, at: 24)
            }
            guest.send(frame: frame, depth == 4 ? offload(&random) : .finished)
            if Int.random(in: 0..<50, using: &random) == 0 { guest.forgetPackets() }
        }
        #expect(guest.engine.drops.total > 100)
        try expectService()
    }

    /// An offload header with random fields, as an untrusted guest may send on an extended stream.
    private func offload(_ random: inout SeededRandom) -> VirtioNetHeader {
        var header = VirtioNetHeader()
        header.needsChecksum = Bool.random(using: &random)
        header.checksumIsValid = Bool.random(using: &random)
        header.segmentation =
            [.none, .tcpIPv4, .tcpIPv6, .udp, .other(9)][Int.random(in: 0..<5, using: &random)]
        header.segmentSize = UInt16.random(in: 0...100, using: &random)
        header.checksumStart = UInt16.random(in: 0...300, using: &random)
        header.checksumOffset = UInt16.random(in: 0...300, using: &random)
        header.headerLength = UInt16.random(in: 0...300, using: &random)
        return header
    }

    @Test("SYNs without an ACK", arguments: [true, false])
    func floods(isListening: Bool) throws {
        let listener = try HostListener()
        let port = isListening ? listener.port : try HostListener.refusedPort()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: port)
        let sample = ScriptedConnection(guest, to: remote)
        var largest = 0
        var segment = sample.segment(.syn, at: 0, ack: 0, window: 1000, options: .usual)
        var trusted = VirtioNetHeader()
        trusted.checksumIsValid = true
        for count in 0..<20_000 {
            let guestPort = 10_000 + count
            segment[0] = UInt8(guestPort >> 8)
            segment[1] = UInt8(guestPort & 255)
            let ip = guest.header(GuestWire.Transport.tcp, to: remote.address)
            guest.send(frame: guest.frame(ip, segment), trusted)
            guard count % 64 == 0 else { continue }
            try guest.loop.turn(waitingAtMost: .zero)
            while let connection = try listener.accept() { connection.close() }
            largest = max(largest, guest.engine.tcp.count)
            guest.forgetPackets()
        }
        #expect(largest <= 4096)
        #expect(guest.engine.tcp.counters.opened >= 20_000)
        try expectService()
        // The rest of the flood times out.
        for _ in 0..<80 { try guest.advance(.seconds(1)) }
        #expect(guest.engine.tcp.count <= 1)
    }
}

extension SeededRandom {
    /// A random number from 0 to `upperBound`, inclusive.
    mutating func next(upperBound: UInt8) -> UInt8 {
        UInt8.random(in: 0...upperBound, using: &self)
    }
}
