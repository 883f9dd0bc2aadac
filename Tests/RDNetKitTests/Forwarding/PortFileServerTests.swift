import Testing

@testable import RDNetKit

/// Sessions over real sockets, with a manual clock.
@Suite("the control file system's connections")
struct PortFileServerTests {
    private let clock = HandMovedClock()
    private let loop: EventLoop
    private let server: PortFileServer

    init() throws {
        let clock = clock
        loop = try EventLoop(clock: { clock.now })
        let system = PortFileSystem(log: .discarding()) { request, _ throws(PortFileError) in
            throw .allocated(place: "\(request)")
        }
        server = PortFileServer(system, loop: loop, log: .discarding(), limits: .discarding())
    }

    /// Connects a client; returns its end.
    private func connect(from client: IPAddress? = nil) throws -> HostPeer {
        let pair = try Socket.pair()
        server.accept(try pair.one.duplicate(), from: client)
        return HostPeer(try pair.other.duplicate())
    }

    /// The bytes that have come back.
    private func count(_ peer: HostPeer, isReading: Bool = true) -> Int {
        if isReading { peer.read() }
        return peer.received.count
    }

    private func turn() throws {
        for _ in 0..<4 { try loop.turn(waitingAtMost: .zero) }
    }

    private let version: [UInt8] =
        PortFileClient.number(19, 4) + [100, 0xff, 0xff] + PortFileClient.number(8_192, 4)
        + PortFileClient.text("9P2000")
    private let attach: [UInt8] =
        PortFileClient.number(19, 4) + [104, 0, 0] + PortFileClient.number(0, 4)
        + PortFileClient.number(0xffff_ffff, 4) + [0, 0, 0, 0]
    private let stat: [UInt8] = PortFileClient.number(11, 4) + [124, 0, 0] + [0, 0, 0, 0]

    @Test func `messages come in pieces and in batches; answers wait for a slow reader`() throws {
        let peer = try connect()
        for octet in version + attach {
            try peer.write([octet])
            try turn()
        }
        #expect(count(peer) == 19 + 20)
        // Far more answers than the server keeps for a client that does not read.
        let requests = [[UInt8]](repeating: stat, count: 40_000).flatMap(\.self)
        var sent = 0
        // The client reads nothing until the server takes no more.
        for isReading in [false, true] {
            for _ in 0..<2_000 where count(peer, isReading: isReading) < 39 + 40_000 * 68 {
                sent += try peer.write(requests[sent...])
                try turn()
                clock.advance(.milliseconds(2))
            }
            #expect((sent == requests.count) == isReading)
        }
        #expect(count(peer) == 39 + 40_000 * 68)
    }

    @Test(
        "a message of an impossible length, and one from nowhere, end the session",
        arguments: [[0, 0, 0, 0], [6, 0, 0, 0], [1, 0x40, 0, 0], [255, 255, 255, 255]] as [[UInt8]]
    )
    func lengths(octets: [UInt8]) throws {
        let peer = try connect()
        try peer.write(octets + [0, 0, 0])
        try turn()
        #expect(peer.readsEnd())
    }

    @Test func `a session that does not begin is closed, one that has begun is not`() throws {
        let silent = try connect()
        let begun = try connect()
        try begun.write(version + attach)
        try turn()
        clock.advance(PortFileServer.patience + .seconds(1))
        try turn()
        #expect(silent.readsEnd())
        try begun.write(stat)
        try turn()
        #expect(count(begun) == 19 + 20 + 68)
    }

    @Test func `one guest has a part of the sessions only`() throws {
        let guest = IPAddress(ipv4: 0xc0a8_7f02)
        var peers: [HostPeer] = []
        for _ in 0..<PortFileServer.maximumSessionsPerClient {
            peers.append(try connect(from: guest))
        }
        let refused = try connect(from: guest)
        try turn()
        #expect(refused.readsEnd())
        let other = try connect(from: IPAddress(ipv4: 0xc0a8_7f03))
        try other.write(version)
        try turn()
        #expect(count(other) == 19)
        server.close()
        try turn()
        #expect(other.readsEnd())
    }
}
