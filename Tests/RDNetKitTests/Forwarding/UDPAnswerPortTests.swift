import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("UDP answers from another port of the guest")
final class UDPAnswerPortTests {
    private static let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 69)
    private let clock = HandMovedClock()
    private let loop: EventLoop
    private let connector = RecordingConnector()
    private let counters = ForwardCounters()
    private let limits = LimitLog.discarding()
    private let pool: UDPForwardPool
    private let forward: UDPForward
    private let client: OwnedDescriptor

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
        pool = UDPForwardPool(descriptors: 1_024, limits: limits)
        let loopback = Endpoint(address: .loopbackIPv4, port: 0)
        forward = try UDPForward(
            try ListeningSocket.udp(loopback),
            to: Self.guest,
            connector: connector,
            loop: loop,
            counters: counters,
            pool: pool
        )
        client = try Socket.make(AF_INET, SOCK_DGRAM)
        try Socket.bind(client, to: SocketAddress(loopback), named: "loopback")
        try send([1], to: try #require(forward.endpoint))
        try loop.turn(until: { !connector.ports.isEmpty })
    }

    private func send(_ octets: [UInt8], to endpoint: Endpoint) throws {
        _ = try octets.withUnsafeBytes {
            try Socket.sendDatagram(client, $0, to: SocketAddress(endpoint))
        }
    }

    /// Sends the guest's answer from a port; returns whether the forward took it.
    private func answer(_ octets: [UInt8], from port: UInt16) throws -> Bool {
        let receiver = try #require(connector.ports.first).receiver
        return octets.withUnsafeBytes {
            receiver.receiveFromGuest($0, at: port, now: loop.now)
        }
    }

    /// Returns the client's next datagram.
    private func received() throws -> (octet: UInt8, sender: Endpoint)? {
        var buffer: [UInt8] = [0]
        let datagram = try buffer.withUnsafeMutableBytes {
            try Socket.receiveDatagram(client, into: $0)
        }
        guard let sender = datagram?.sender.endpoint else { return nil }
        return (buffer[0], sender)
    }

    @Test func `reach the client from a second host port, which leads to that port of the guest`()
        throws
    {
        #expect(try answer([2], from: 5_000))
        let first = try #require(try received())
        #expect(first.octet == 2 && first.sender.address == .loopbackIPv4)
        #expect(first.sender != forward.endpoint)
        try send([3], to: first.sender)
        let sibling = try #require(connector.ports.first?.siblings[5_000])
        try loop.turn(until: { !sibling.sent.isEmpty })
        #expect(sibling.sent == [[3]])
        // The first host port still leads to the guest's first port.
        try send([4], to: try #require(forward.endpoint))
        try loop.turn(until: { connector.ports.first?.sent.count == 2 })
        #expect(connector.ports.first?.sent == [[1], [4]])
        [5].withUnsafeBytes { sibling.receiver.receiveFromGuest($0, now: loop.now) }
        #expect(try received()?.sender == first.sender)
        forward.close()
        #expect(sibling.isClosed && pool.answerPorts == 0)
    }

    @Test func `take no other client's datagrams`() throws {
        #expect(try answer([2], from: 5_000))
        let second = try #require(try received()).sender
        let stranger = try Socket.make(AF_INET, SOCK_DGRAM)
        // The kernel refuses the datagram, because no socket matches its sender.
        _ = try Socket.connect(stranger, to: SocketAddress(second))
        _ = try [9].withUnsafeBytes { try Socket.send(stranger, $0) }
        try send([3], to: second)
        let sibling = try #require(connector.ports.first?.siblings[5_000])
        try loop.turn(until: { !sibling.sent.isEmpty })
        #expect(sibling.sent == [[3]])
        forward.close()
    }

    @Test func `have few host ports for a client, and the longest-idle one goes`() throws {
        for port in 5_000..<5_005 as Range<UInt16> {
            clock.advance(.seconds(1))
            try loop.turn(waitingAtMost: .zero)
            #expect(try answer([2], from: port))
        }
        #expect(pool.answerPorts == 4)
        let siblings = try #require(connector.ports.first).siblings
        #expect(siblings.filter { $0.value.isClosed }.map(\.key) == [5_000])
        forward.close()
        #expect(pool.answerPorts == 0)
    }

    @Test func `have few host ports for all clients together`() throws {
        #expect(pool.maximumAnswerPorts == 64)
        pool.answerPorts = pool.maximumAnswerPorts
        #expect(try !answer([2], from: 5_000))
        #expect(counters.datagramsDropped == 1)
        #expect(limits.count(of: .answerPorts) == 1)
        pool.answerPorts = 0
        forward.close()
    }

    @Test func `keep the client, and end 90 seconds after the last datagram`() throws {
        #expect(try answer([2], from: 5_000))
        let sibling = try #require(connector.ports.first?.siblings[5_000])
        for octet in 1...3 as ClosedRange<UInt8> {
            clock.advance(.seconds(60))
            try loop.turn(waitingAtMost: .zero)
            [octet].withUnsafeBytes { sibling.receiver.receiveFromGuest($0, now: loop.now) }
        }
        #expect(forward.clientCount == 1 && !sibling.isClosed)
        clock.advance(.seconds(91))
        try loop.turn(waitingAtMost: .zero)
        #expect(forward.clientCount == 0 && sibling.isClosed)
        #expect(pool.answerPorts == 0)
        forward.close()
    }
}
