import Testing

@testable import RDNetKit

@Suite("TCP windows offered to a guest")
struct TCPWindowTests {
    private let guest: ScriptedGuest

    init() throws {
        guest = try ScriptedGuest()
    }

    /// Sends segments of 1,000 bytes until the window is full; returns the data sent.
    private func fill(_ tcp: ScriptedConnection, ack: Int? = nil) throws -> [UInt8] {
        var sent: [UInt8] = []
        var edge = 1 + 65_535
        while tcp.next + 1000 <= edge, sent.count < 4 << 20 {
            let payload = (0..<1000).map { UInt8(truncatingIfNeeded: sent.count + $0) }
            tcp.send(.ack, payload, ack: ack)
            sent += payload
            for segment in try tcp.takeAll() {
                let right = segment.acknowledgment + segment.window << 7
                #expect(right >= edge, "the window was taken back: \(segment)")
                edge = right
            }
        }
        return sent
    }

    @Test
    func `a host that does not read shuts the window, which never moves left (RFC 9293, 3.8.6)`()
        throws
    {
        let (tcp, host) = try guest.connectToService()
        try host.shrinkBuffers(to: 4096)
        let sent = try fill(tcp)
        #expect(sent.count < 2 << 20, "the window has a limit")
        // The engine keeps everything that the window allowed.
        tcp.send(.ack, "", at: tcp.next - 1)
        let shut = try tcp.expect(.ack, ack: tcp.next)
        #expect(shut.window << 7 < 1000)
        host.read(atMost: 2000)
        try guest.settle()
        try guest.turn(until: {
            host.read()
            return host.received.count == sent.count
        })
        expectBytes(host.received, equals: sent)
        let updates = try tcp.takeAll()
        let last = try #require(updates.last, "the opened window is announced")
        #expect(last.window << 7 >= 1460)
    }

    @Test func `a reset is heeded and an ACK counts while the window is shut (RFC 9293, 3.10.7.4)`()
        throws
    {
        let (tcp, host) = try guest.connectToService()
        try host.shrinkBuffers(to: 4096)
        try host.write("hello".utf8)
        try tcp.expect(.ack, length: 5)
        _ = try fill(tcp, ack: 1)
        // Fills the window to the last byte.
        tcp.send(.ack, "", at: tcp.next - 1, ack: 1)
        let last = try #require(try tcp.takeAll().last)
        let edge = last.acknowledgment + last.window << 7
        if edge > tcp.next { tcp.send(.ack, [UInt8](repeating: 1, count: edge - tcp.next), ack: 1) }
        _ = try tcp.takeAll()
        // A BSD-style probe with one byte beyond the edge still acknowledges.
        tcp.send(.ack, "x", at: tcp.next, ack: 6)
        let probed = try tcp.takeAll()
        #expect(probed.allSatisfy { $0.acknowledgment == tcp.next })
        try guest.advance(.seconds(3))
        #expect(try tcp.takeAll().allSatisfy { $0.payload.isEmpty }, "nothing is sent again")
        tcp.send(.rst)
        try guest.settle()
        #expect(guest.engine.tcp.count == 0)
    }

    @Test func `a window that the host keeps up with grows`() throws {
        let (tcp, host) = try guest.connect(to: HostListener())
        var largest = 0
        for _ in 0..<60 {
            for _ in 0..<8 { tcp.send(.ack, [UInt8](repeating: 7, count: 1460)) }
            for segment in try tcp.takeAll() { largest = max(largest, segment.window << 7) }
            host.read()
        }
        #expect(largest > 4 * 65_536)
        #expect(host.received.count == 60 * 8 * 1460)
    }

    @Test func `a window without scaling stays within 65,535 octets (RFC 7323, 2.2)`() throws {
        var options = GuestWire.TCPOptions.usual
        options.windowScale = nil
        let (tcp, host) = try guest.connectToService(options: options)
        for _ in 0..<40 {
            tcp.send(.ack, [UInt8](repeating: 7, count: 5000))
            for segment in try tcp.takeAll() { #expect(segment.window > 32_768) }
            host.read()
        }
        #expect(host.received.count == 200_000)
    }

    @Test func `small reads of a full host do not bring small windows (RFC 9293, 3.8.6.2.2)`()
        throws
    {
        let (tcp, host) = try guest.connectToService()
        try host.shrinkBuffers(to: 4096)
        _ = try fill(tcp)
        _ = try tcp.takeAll()
        var last = 0
        for _ in 0..<200 {
            host.read(atMost: 100)
            for segment in try tcp.takeAll() {
                let right = segment.acknowledgment + segment.window << 7
                if last > 0 { #expect(right - last >= 1460, "a silly window") }
                last = right
            }
        }
    }
}
