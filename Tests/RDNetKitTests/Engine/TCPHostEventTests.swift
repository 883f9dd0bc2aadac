import Testing

@testable import RDNetKit

/// Events of the host's socket that coincide, or that occur while the guest is unreachable.
@Suite("events of a host connection")
struct TCPHostEventTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    @Test func `a host that answers and ends before "connected" is seen is heard to its end`()
        throws
    {
        let listener = try HostListener()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: listener.port)
        let tcp = ScriptedConnection(guest, to: remote)
        tcp.send(.syn, options: .usual)
        // The kernel has already connected. The loop has not turned yet, so all of this is one
        // edge.
        let host = try #require(try listener.accept())
        try host.write("hello".utf8)
        host.endSending()
        try tcp.expect([.syn, .ack], at: 0, ack: 1)
        tcp.send(.ack)
        try tcp.expect(.ack, at: 1, text: "hello")
        try tcp.expect([.fin, .ack], at: 6, ack: 1)
    }

    @Test func `what a host sends while the guest's link is away arrives when it is back`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        guest.engine.closed(guest.link, reason: "cut", now: guest.loop.now)
        try host.write("late".utf8)
        try guest.settle()
        try tcp.expectNothing()
        #expect(guest.engine.ethernet.attach(guest.link, now: guest.loop.now))
        guest.send(
            GuestWire.ARP(
                operation: .request,
                senderMAC: ScriptedGuest.mac,
                senderAddress: ScriptedGuest.address,
                targetMAC: MACAddress(rawValue: 0),
                targetAddress: ScriptedGuest.address
            )
        )
        try tcp.expect(.ack, at: 1, text: "late")
    }

    @Test func `an answer in front of a reset arrives, and then the reset`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write("sorry".utf8)
        host.reset()
        try tcp.expect(.ack, at: 1, text: "sorry")
        try tcp.expect([.rst, .ack], at: 6, ack: 1)
    }
}
