import Testing

@testable import RDNetKit

@Suite("ICMP")
struct ICMPTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    @Test(
        "gateway and host alias answer echo with the same data (RFC 792; RFC 1122, 3.2.2.6)",
        arguments: [ScriptedGuest.gateway, ScriptedGuest.hostAlias],
        [0, 1, 56, 1472]
    )
    func echo(address: IPAddress, length: Int) throws {
        let data = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        let request = ScriptedGuest.icmp(.echoRequest, rest: 0xbeef_0007, data)
        guest.send(guest.header(GuestWire.Transport.icmp, to: address), request)
        let reply = try #require(try guest.takeICMP().first)
        #expect(reply.header.source == address)
        #expect(reply.header.destination == ScriptedGuest.address)
        #expect(reply.message.kind == .echoReply)
        #expect(reply.message.rest == 0xbeef_0007)
        #expect(Array(reply.octets[8...]) == data)
    }

    @Test func `a wrong checksum and a runt are dropped and counted`() throws {
        var request = ScriptedGuest.icmp(.echoRequest, rest: 1, [1, 2, 3])
        request[2] ^= 1
        guest.send(guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway), request)
        for length in 0..<8 {
            guest.send(
                guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway),
                [UInt8](repeating: 8, count: length)
            )
        }
        #expect(try guest.takeICMP().isEmpty)
        #expect(guest.dropped(.badChecksum) == 1)
        #expect(guest.dropped(.malformed) == 8)
    }

    @Test
    func
        `a closed gateway port is unreachable; the whole header and data are quoted (RFC 1812, 4.3.2.3)`()
        throws
    {
        let remote = Endpoint(address: ScriptedGuest.gateway, port: 9)
        let datagram = guest.datagram(from: 5000, to: remote, Array("anyone?".utf8))
        guest.send(guest.header(GuestWire.Transport.udp, to: remote.address), datagram)
        let error = try #require(try guest.takeICMP().first)
        #expect(error.message.kind == .destinationUnreachable(.port))
        #expect(error.header.source == ScriptedGuest.gateway)
        let quoted = Array(error.octets[8...])
        let header = try GuestWire.IPv4(reading: quoted)
        #expect(header.source == ScriptedGuest.address)
        #expect(header.destination == remote.address)
        // The quote includes the datagram's ports and length (RFC 792: its first 64 bits).
        #expect(Array(quoted[20..<26]) == Array(datagram[..<6]))
    }

    @Test func `no error about an error, a group or a broadcast (RFC 1122, 3.2.2)`() throws {
        let unreachable = GuestWire.ICMP.Kind.destinationUnreachable(.port)
        guest.send(
            guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway),
            ScriptedGuest.icmp(unreachable, rest: 0, [UInt8](repeating: 0, count: 28))
        )
        for address: UInt32 in [0xc0a8_7fff, 0xffff_ffff, 0xe000_00fb] {
            guest.sendUDP(from: 1, to: Endpoint(address: IPAddress(ipv4: address), port: 9), [1])
        }
        #expect(try guest.takeICMP().isEmpty)
    }

    @Test func `no error to a guest without an address (RFC 1122, 3.2.2)`() throws {
        let remote = Endpoint(address: ScriptedGuest.gateway, port: 9)
        let header = GuestWire.IPv4(
            transport: GuestWire.Transport.udp,
            source: .anyIPv4,
            destination: remote.address,
            payloadLength: 0
        )
        guest.send(header, guest.datagram(from: 68, to: remote, [1], source: .anyIPv4))
        #expect(try guest.takeICMP().isEmpty)
    }

    @Test func `errors are limited in rate and come again later (RFC 1812, 4.3.2.8)`() throws {
        let remote = Endpoint(address: ScriptedGuest.gateway, port: 9)
        for _ in 0..<500 { guest.sendUDP(from: 5000, to: remote, [1]) }
        #expect(try guest.takeICMP().count == 50)
        try guest.advance(.milliseconds(10))
        for _ in 0..<500 { guest.sendUDP(from: 5000, to: remote, [1]) }
        #expect(try guest.takeICMP().count == 10)
    }

    @Test func `echo to a refused or impossible address is counted`() throws {
        for address: UInt32 in [0xa9fe_0001, 0xc0a8_7fff, 0xe000_0001] {
            guest.send(
                guest.header(GuestWire.Transport.icmp, to: IPAddress(ipv4: address)),
                ScriptedGuest.icmp(.echoRequest, rest: 1, [])
            )
        }
        #expect(try guest.takeICMP().isEmpty)
        #expect(guest.dropped(.refusedDestination) == 1)
        #expect(guest.dropped(.noRoute) == 2)
        #expect(guest.engine.echo.count == 0)
    }

    @Test("hostile quotes of ICMP errors do no harm", arguments: 0..<48)
    func hostileQuote(length: Int) throws {
        let kind = GuestWire.ICMP.Kind.destinationUnreachable(.fragmentationNeeded)
        for first: UInt8 in [0x45, 0x4f, 0x40, 0xff] {
            var quote = [UInt8](repeating: 6, count: length)
            if length > 0 { quote[0] = first }
            guest.send(
                guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway),
                ScriptedGuest.icmp(kind, rest: UInt32.random(in: 0...1500), quote)
            )
        }
        #expect(try guest.takeICMP().isEmpty)
    }
}
