import Glibc
import Testing

@testable import RDNetKit

@Suite("the host's loopback")
struct TCPLoopbackTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    @Test func `a service that listens on ::1 only is reached through the host alias`() throws {
        let (tcp, host) = try guest.connect(to: HostListener(address: .loopbackIPv6))
        tcp.send(.ack, "request")
        try tcp.expect(.ack, ack: 8)
        #expect(host.text == "request")
        try host.write("answer".utf8)
        try tcp.expect(.ack, at: 1, text: "answer")
    }

    @Test func `127.0.0.1 goes first where a service listens on both`() throws {
        let listener = try HostListener()
        let other = try HostListener(address: .loopbackIPv6, port: listener.port)
        _ = try guest.connect(to: listener)
        #expect(try other.accept() == nil)
    }

    @Test func `a port that nobody listens on is refused once`() throws {
        let port = try HostListener.refusedPort()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: port)
        let tcp = ScriptedConnection(guest, to: remote)
        tcp.send(.syn, options: .usual)
        try tcp.expect([.rst, .ack], at: 0, ack: 1)
        #expect(guest.engine.tcp.count == 0)
        #expect(guest.engine.tcp.counters.refused == 1)
    }
}
