import Glibc
import Testing

@testable import RDNetKit

@Suite("the end of a TCP connection")
struct TCPClosingTests {
    private let guest: ScriptedGuest

    init() throws {
        ProcessLimits.raiseDescriptors()
        guest = try ScriptedGuest()
    }

    @Test func `the guest ends its half first, the host goes on (RFC 9293, 3.6)`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send([.fin, .ack], "request")
        try tcp.expect(.ack, ack: 9)
        #expect(host.text == "request")
        #expect(host.hasEnded)
        try host.write("answer".utf8)
        try tcp.expect(.ack, at: 1, text: "answer")
        tcp.send(.ack)
        host.endSending()
        try tcp.expect([.fin, .ack], at: 7, ack: 9)
        #expect(guest.engine.tcp.count == 1)
        tcp.send(.ack)
        try guest.settle()
        #expect(guest.engine.tcp.count == 0)
    }

    @Test
    func `the host ends its half first, the guest goes on; TIME-WAIT follows (RFC 9293, 3.6)`()
        throws
    {
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write("greeting".utf8)
        host.endSending()
        try tcp.expect(.ack, at: 1, text: "greeting")
        try tcp.expect([.fin, .ack], at: 9, ack: 1)
        tcp.send(.ack)
        tcp.send(.ack, "still talking")
        try tcp.expect(.ack, at: 10, ack: 14)
        #expect(host.text == "still talking")
        tcp.send([.fin, .ack])
        try tcp.expect(.ack, at: 10, ack: 15)
        #expect(host.readsEnd())
        // A repeated FIN still gets an answer (RFC 9293, 3.10.7.4).
        #expect(guest.engine.tcp.count == 1)
        tcp.send([.fin, .ack], at: 14)
        try tcp.expect(.ack, at: 10, ack: 15)
        try guest.advance(.milliseconds(2010))
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `both end at once: FINs cross (RFC 9293, 3.6, case 3)`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        host.endSending()
        try tcp.expect([.fin, .ack], at: 1, ack: 1)
        tcp.send([.fin, .ack], ack: 1)
        try tcp.expect(.ack, at: 2, ack: 2)
        tcp.send(.ack, ack: 2)
        try guest.settle()
        #expect(guest.engine.tcp.count == 1)
        try guest.advance(.milliseconds(2010))
        #expect(guest.engine.tcp.count == 0)
    }

    @Test(
        "the FIN is sent again until it is acknowledged (RFC 9293, 3.8.1)",
        arguments: TCPSendingTests.Peeking.allCases
    )
    func repeatedFIN(peeking: TCPSendingTests.Peeking) throws {
        let guest = try ScriptedGuest(support: peeking.support)
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write("bye".utf8)
        host.endSending()
        try tcp.expect(.ack, at: 1, text: "bye")
        try tcp.expect([.fin, .ack], at: 4)
        // Data and FIN were lost.
        try guest.advance(.milliseconds(1010))
        try tcp.expect(.ack, at: 1, text: "bye")
        try tcp.expect([.fin, .ack], at: 4)
        tcp.send(.ack, ack: 4)
        try guest.advance(.seconds(3))
        try tcp.expect([.fin, .ack], at: 4, length: 0)
        tcp.send(.ack, ack: 5)
        try guest.advance(.seconds(100))
        try tcp.expectNothing()
    }

    @Test func `a guest's reset reaches the host as ECONNRESET`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send(.ack, "half a")
        try tcp.expect(.ack, ack: 7)
        tcp.send(.rst)
        try guest.settle()
        #expect(guest.engine.tcp.count == 0)
        #expect(host.readsReset())
        #expect(!host.hasEnded)
    }

    @Test
    func `a host's reset reaches the guest as RST with ACK, exactly in place (RFC 5961, 3.2)`()
        throws
    {
        let (tcp, host) = try guest.connect(to: HostListener())
        try host.write("half a".utf8)
        try tcp.expect(.ack, at: 1, text: "half a")
        tcp.send(.ack)
        tcp.send(.ack, "abc")
        try tcp.expect(.ack, ack: 4)
        host.reset()
        try tcp.expect([.rst, .ack], at: 7, ack: 4)
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `a host that closes with data unread resets the guest`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        tcp.send(.ack, "never read")
        try tcp.expect(.ack, ack: 11)
        host.close()
        try tcp.expect([.rst, .ack], at: 1, ack: 11)
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `data to a host that is gone bring a reset`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        host.close()
        try tcp.expect([.fin, .ack], at: 1)
        tcp.send(.ack)
        tcp.send(.ack, "anyone there?")
        var segments: [ScriptedSegment] = []
        try guest.turn(until: {
            segments += try tcp.takeAll()
            return segments.last?.flags.contains(.rst) ?? false
        })
        #expect(segments.last?.sequence == 2)
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `a reset in TIME-WAIT ends it only when it is exact`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        host.endSending()
        try tcp.expect([.fin, .ack], at: 1)
        tcp.send([.fin, .ack], ack: 2)
        try tcp.expect(.ack, at: 2, ack: 2)
        #expect(guest.engine.tcp.count == 1)
        tcp.send(.rst, at: 1)
        #expect(guest.engine.tcp.count == 1)
        tcp.send(.rst, at: 2)
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `a new SYN takes the place of TIME-WAIT, an old one does not (RFC 9293, 3.10.7.4)`()
        throws
    {
        let listener = try HostListener()
        let (tcp, host) = try guest.connect(to: listener)
        host.endSending()
        try tcp.expect([.fin, .ack], at: 1)
        tcp.send([.fin, .ack], ack: 2)
        try tcp.expect(.ack, at: 2, ack: 2)
        let old = ScriptedConnection(guest, to: tcp.remote, from: tcp.local.port, initial: 500)
        old.send(.syn, options: .usual)
        try guest.settle()
        #expect(try old.takeAll().allSatisfy { !$0.flags.contains(.syn) })
        let new = ScriptedConnection(guest, to: tcp.remote, from: tcp.local.port, initial: 5000)
        try new.shakeHands()
        let second = try #require(try listener.accept())
        new.send(.ack, "again")
        try new.expect(.ack, ack: 6)
        #expect(second.text == "again")
    }

    @Test func `an ACK in its place gets no answer in TIME-WAIT, one that is not gets an ACK`()
        throws
    {
        let (tcp, host) = try guest.connect(to: HostListener())
        host.endSending()
        try tcp.expect([.fin, .ack], at: 1)
        tcp.send([.fin, .ack], ack: 2)
        try tcp.expect(.ack, at: 2, ack: 2)
        tcp.send(.ack)
        try tcp.expectNothing()
        tcp.send(.ack, at: 1)
        try tcp.expect(.ack, at: 2, ack: 2)
    }

    @Test func `flows in TIME-WAIT are bounded: the oldest goes`() throws {
        guest.serve(7)
        let remote = Endpoint(address: ScriptedGuest.gateway, port: 7)
        for _ in 0..<8200 {
            let tcp = ScriptedConnection(guest, to: remote)
            tcp.send(.syn, options: .usual)
            try guest.loop.turn(waitingAtMost: .zero)
            let answer = try tcp.takeAll().first
            #expect(answer?.flags == [.syn, .ack])
            tcp.send(.ack)
            // Closing is not enough: a child of another suite may hold a copy of the descriptor
            // until it executes its program.
            guest.served.last?.endSending()
            guest.served.last?.close()
            try guest.loop.turn(waitingAtMost: .zero)
            tcp.send([.fin, .ack], ack: 2)
            guest.forgetPackets()
        }
        try guest.settle()
        #expect(guest.engine.tcp.count <= 8192)
        try guest.advance(.milliseconds(2010))
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `octets that wait for a slow host get there before the guest's end`() throws {
        let (tcp, host) = try guest.connectToService()
        try host.shrinkBuffers(to: 4096)
        var sent: [UInt8] = []
        for index in 0..<60 {
            let payload = [UInt8](repeating: UInt8(index), count: 1000)
            tcp.send(.ack, payload)
            sent += payload
        }
        tcp.send([.fin, .ack])
        _ = try tcp.takeAll()
        #expect(!host.hasEnded)
        try guest.turn(until: {
            host.read(atMost: 3000)
            return host.hasEnded
        })
        expectBytes(host.received, equals: sent)
    }
}
