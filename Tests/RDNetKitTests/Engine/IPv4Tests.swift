import Testing

@testable import RDNetKit

@Suite("IPv4 from a guest")
struct IPv4Tests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    private func echo(_ data: [UInt8] = Array("ping".utf8)) -> [UInt8] {
        ScriptedGuest.icmp(.echoRequest, rest: 0x0001_0001, data)
    }

    /// Sends a ping to the gateway after `change`; returns the number of replies.
    ///
    /// `fixing` corrects the header checksum after the change.
    private func send(fixing: Bool, _ change: (inout [UInt8]) -> Void) throws -> Int {
        var frame = guest.frame(
            guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway),
            echo()
        )
        change(&frame)
        if fixing {
            let length = min(max(Int(frame[14] & 15) * 4, 20), frame.count - 14)
            PlainChecksum.store(0, in: &frame, at: 24)
            let sum = PlainChecksum.of(Array(frame[14..<(14 + length)]))
            PlainChecksum.store(sum, in: &frame, at: 24)
        }
        guest.send(frame: frame)
        return try guest.takeICMP().count
    }

    @Test func `a good packet is answered`() throws {
        #expect(try send(fixing: true) { _ in } == 1)
    }

    @Test func `a wrong header checksum is dropped and counted (RFC 1122, 3.2.1.2)`() throws {
        #expect(try send(fixing: false) { $0[24] ^= 1 } == 0)
        #expect(guest.dropped(.badChecksum) == 1)
    }

    @Test(
        "a version other than 4 is dropped (RFC 1122, 3.2.1.1)",
        arguments: [0x05, 0x35, 0x65, 0xf5] as [UInt8]
    )
    func version(first: UInt8) throws {
        #expect(try send(fixing: true) { $0[14] = first } == 0)
        #expect(guest.dropped(.malformed) == 1)
    }

    @Test("a header shorter than 20 octets is dropped", arguments: 0..<5 as Range<UInt8>)
    func headerLength(words: UInt8) throws {
        #expect(try send(fixing: true) { $0[14] = 0x40 | words } == 0)
        #expect(guest.dropped(.malformed) == 1)
    }

    @Test(
        "a length beyond the frame or inside the header is dropped",
        arguments: [0, 19, 33, 1500, 65_535]
    )
    func totalLength(length: Int) throws {
        #expect(
            try send(fixing: true) {
                $0[16] = UInt8(length >> 8)
                $0[17] = UInt8(length & 255)
            } == 0
        )
        #expect(guest.dropped(.malformed) == 1)
    }

    @Test func `options are skipped (RFC 1122, 3.2.1.8)`() throws {
        let plain = guest.frame(
            guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway),
            echo()
        )
        var frame = Array(plain[..<34]) + [1, 1, 1, 0] + plain[34...]
        frame[14] = 0x46
        frame[17] += 4
        PlainChecksum.store(0, in: &frame, at: 24)
        PlainChecksum.store(PlainChecksum.of(Array(frame[14..<38])), in: &frame, at: 24)
        guest.send(frame: frame)
        #expect(try guest.takeICMP().count == 1)
    }

    @Test func `padding behind the packet is not part of it (RFC 894)`() throws {
        let frame = guest.frame(
            guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway),
            echo()
        )
        guest.send(frame: frame + [UInt8](repeating: 0xee, count: 20))
        let reply = try #require(try guest.takeICMP().first)
        #expect(reply.octets.count == 12)
    }

    @Test(
        "sources that no guest has are dropped (RFC 1812, 5.3.7)",
        arguments: [
            0x0000_0000, 0x7f00_0001, 0xe000_0001, 0xffff_ffff, 0x0808_0808, 0xc0a8_7f01,
            0xc0a8_7ffe, 0xc0a8_7fff, 0xc0a8_7f00,
        ] as [UInt32]
    )
    func martians(source: UInt32) throws {
        let header = GuestWire.IPv4(
            transport: GuestWire.Transport.icmp,
            source: IPAddress(ipv4: source),
            destination: ScriptedGuest.gateway,
            payloadLength: 0
        )
        guest.send(header, echo())
        #expect(try guest.takeICMP().isEmpty)
        #expect(guest.dropped(.badSource) == 1)
    }

    @Test(
        "a spent TTL is reported unless the packet has arrived (RFC 1812, 5.3.1)",
        arguments: [0, 1] as [UInt8]
    )
    func timeToLive(ttl: UInt8) throws {
        var header = guest.header(GuestWire.Transport.udp, to: IPAddress(ipv4: 0xc633_6401))
        header.timeToLive = ttl
        let remote = Endpoint(address: header.destination, port: 33_434)
        guest.send(header, guest.datagram(from: 5000, to: remote, [1, 2, 3]))
        let error = try #require(try guest.takeICMP().first)
        #expect(error.message.kind == .timeExceeded(code: 0))
        #expect(error.header.source == ScriptedGuest.gateway)
        #expect(guest.engine.udp.count == 0)

        var near = guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway)
        near.timeToLive = ttl
        guest.send(near, echo())
        #expect(try guest.takeICMP().first?.message.kind == .echoReply)
    }

    @Test
    func `an unknown protocol is unreachable, but not at a broadcast address (RFC 1122, 3.2.2)`()
        throws
    {
        guest.send(guest.header(99, to: ScriptedGuest.gateway), [1, 2, 3, 4, 5, 6, 7, 8])
        let error = try #require(try guest.takeICMP().first)
        #expect(error.message.kind == .destinationUnreachable(.transport))
        for address: UInt32 in [0xc0a8_7fff, 0xffff_ffff, 0xe000_0001] {
            guest.send(guest.header(99, to: IPAddress(ipv4: address)), [1, 2, 3, 4, 5, 6, 7, 8])
        }
        #expect(try guest.takeICMP().isEmpty)
        #expect(guest.dropped(.unknownProtocol) == 4)
    }
}
