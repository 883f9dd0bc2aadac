import Testing

@testable import RDNetKit

@Suite("an HTTP connection that is handed over")
struct HTTPHandoverTests {
    /// Keeps the streams that a route handed over.
    private final class Owner {
        var streams: [StreamClient] = []
    }

    private let clock: HandMovedClock
    private let loop: EventLoop
    private let owner = Owner()
    private let server: HTTPServer

    init() throws {
        let clock = HandMovedClock()
        self.clock = clock
        loop = try EventLoop { clock.now }
        let owner = owner
        let large = [UInt8](repeating: 0x61, count: 1 << 20)
        server = HTTPServer(
            loop: loop,
            routes: [
                HTTPRoute("/hello") { _, _ in .content(Array("hello".utf8)) },
                HTTPRoute("/large") { _, _ in .content(large) },
                HTTPRoute(
                    "/take",
                    deciding: { request, _ in
                        .handover(saying: request.body) { owner.streams.append(StreamClient($0)) }
                    }
                ),
            ],
            admitting: HTTPAdmission()
        )
    }

    private func connect() throws -> StreamClient {
        let pair = try Socket.pair()
        server.accept(try pair.one.duplicate(), from: nil)
        return StreamClient(try pair.other.duplicate())
    }

    private func settle() throws {
        for _ in 0..<4 { try loop.turn(waitingAtMost: .zero) }
    }

    private static let take = "GET /take HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test("nothing is lost, wherever the octets are cut", arguments: 0..<30)
    func cuts(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let client = try connect()
        let behind = String(repeating: "frames, ", count: 3_000)
        let body = "4\r\nOK\r\n\r\n2;x=y\r\n!!\r\n0\r\nTrailer: t\r\n\r\n"
        let request =
            "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
            + "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + behind
        var rest = request.unicodeScalars[...]
        while !rest.isEmpty {
            let part = rest.prefix(Int.random(in: 1...4_000, using: &random))
            let count = try client.send(String(part))
            rest = rest.dropFirst(count)
            if Bool.random(using: &random) { try settle() }
        }
        try settle()
        let stream = try #require(owner.streams.first)
        #expect(stream.receive() == (behind, false))
        let (answer, ended) = client.receive()
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("helloOK\r\n!!"))
        #expect(!ended)
        #expect(server.connectionCount == 0)
    }

    @Test func `it happens behind the answers to what was asked before, more than one turn's`()
        throws
    {
        let client = try connect()
        let hello = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
        try client.send(String(repeating: hello, count: 100) + Self.take + "tail")
        try loop.turn(until: { !owner.streams.isEmpty })
        try owner.streams[0].send("mine")
        let (text, _) = client.receive()
        #expect(text.split(separator: "HTTP/1.1 200 OK").count == 100)
        #expect(text.hasSuffix("hellomine"))
        #expect(owner.streams[0].receive().text == "tail")
    }

    @Test func `it waits until a slow client has its answers, for ten seconds`() throws {
        let client = try connect()
        try client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n" + Self.take + "tail")
        try settle()
        #expect(owner.streams.isEmpty)
        var taken = 0
        try loop.turn(until: {
            taken += client.receive().text.utf8.count
            return !owner.streams.isEmpty
        })
        #expect(taken > 1 << 20)
        #expect(owner.streams[0].receive().text == "tail")

        let slow = try connect()
        try slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n" + Self.take)
        try settle()
        clock.advance(.seconds(11))
        try settle()
        #expect(server.connectionCount == 0)
        #expect(owner.streams.count == 1)
    }

    @Test func `a client that has ended its direction is handed over all the same`() throws {
        let client = try connect()
        try client.send(Self.take + "last words")
        client.endSending()
        try settle()
        let stream = try #require(owner.streams.first)
        #expect(stream.receive() == ("last words", true))
        try stream.send("heard")
        #expect(client.receive().text == "heard")
    }

    @Test func `the word that was waited for comes first`() throws {
        let client = try connect()
        try client.send(
            "POST /take HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        try settle()
        #expect(client.receive().text == "HTTP/1.1 100 Continue\r\n\r\n")
        #expect(owner.streams.isEmpty)
        try client.send("OK, then")
        try settle()
        #expect(client.receive().text == "OK")
        #expect(owner.streams.first?.receive().text == ", then")
    }

    @Test func `the server forgets it: no deadline, no limit, no end`() throws {
        let client = try connect()
        try client.send(Self.take)
        try settle()
        clock.advance(.seconds(60))
        try settle()
        server.close()
        try settle()
        try client.send("still here")
        let stream = try #require(owner.streams.first)
        #expect(stream.receive() == ("still here", false))
    }
}
