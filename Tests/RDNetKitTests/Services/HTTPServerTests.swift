import Testing

@testable import RDNetKit

@Suite("HTTP server")
struct HTTPServerTests {
    private let clock: HandMovedClock
    private let loop: EventLoop

    init() throws {
        let clock = HandMovedClock()
        self.clock = clock
        loop = try EventLoop { clock.now }
    }

    @Test func `answers with the fields of gvproxy, and goes on`() throws {
        let server = makeServer()
        let client = try connect(to: server)
        try client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        let expected = """
            HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 6\r\n\r\nhello\n
            """
        #expect(try answer(client) == expected)
        try client.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try answer(client) == expected.dropLast(6))
        #expect(server.connectionCount == 1)
    }

    @Test(
        "errors are Go's",
        arguments: [
            ("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", "404 page not found\n"),
            (
                "GET / HTTP/1.1\r\n\r\n", "400 Bad Request",
                "400 Bad Request: missing required Host header"
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
                "413 Request Entity Too Large",
                "413 Request Entity Too Large: http: request body too large"
            ),
        ]
    )
    func errors(request: String, status: String, body: String) throws {
        let client = try connect(to: makeServer())
        try client.send(request)
        let text = try answer(client)
        #expect(text.hasPrefix("HTTP/1.1 \(status)\r\n"))
        #expect(text.hasSuffix("\r\n\r\n" + body))
    }

    @Test func `pipelined requests are answered in order, many more than one turn's`() throws {
        let client = try connect(to: makeServer())
        let requests = (0..<100).map {
            "POST /echo HTTP/1.1\r\nHost:\r\nContent-Length: 3\r\n\r\n\(100 + $0)"
        }
        try client.send(requests.joined())
        var text = ""
        try loop.turn(until: {
            text += client.receive().text
            return text.hasSuffix("199")
        })
        let bodies = text.split(separator: "HTTP/1.1 200 OK").map { $0.suffix(3) }
        #expect(bodies == (100..<200).map { "\($0)" })
    }

    @Test func `a client that ends its direction is answered, then the stream ends`() throws {
        let server = makeServer()
        let client = try connect(to: server)
        try client.send(
            "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        client.endSending()
        let (text, ended) = try received(client)
        #expect(text.split(separator: "hello\n").count == 2)
        #expect(ended)
        #expect(server.connectionCount == 0)
    }

    @Test func `an HTTP/1.0 client is answered in kind and the connection ends`() throws {
        let client = try connect(to: makeServer())
        try client.send("GET /hello HTTP/1.0\r\n\r\n")
        let (text, ended) = try received(client)
        #expect(text.hasPrefix("HTTP/1.0 200 OK\r\n"))
        #expect(text.contains("\r\nConnection: close\r\n"))
        #expect(ended)
    }

    @Test func `a word is said to a client that waits for it`() throws {
        let client = try connect(to: makeServer())
        try client.send(
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        #expect(try answer(client) == "HTTP/1.1 100 Continue\r\n\r\n")
        try client.send("ab")
        #expect(try answer(client).hasSuffix("\r\n\r\nab"))
    }

    @Test("a request has ten seconds, however it trickles", arguments: ["", "GET / HT"])
    func slowRequest(start: String) throws {
        let server = makeServer()
        let client = try connect(to: server)
        try client.send(start)
        try settle()
        clock.advance(.milliseconds(9_900))
        try settle()
        #expect(server.connectionCount == 1)
        // A trickle does not restart the deadline; the first byte of a request starts it.
        if !start.isEmpty { try client.send("T") }
        clock.advance(.milliseconds(200))
        try settle()
        #expect(server.connectionCount == 0)
        #expect(client.receive().ended)
    }

    @Test func `a client that does not read is not read either, and closed after ten seconds`()
        throws
    {
        let server = makeServer()
        let slow = try connect(to: server)
        let request = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
        var unread = 0
        // Repeats until both directions are full.
        for _ in 0..<2_000 where unread < 20 {
            unread = try slow.send(request) == 0 ? unread + 1 : 0
            try settle()
        }
        #expect(unread == 20)
        let other = try connect(to: server)
        try other.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try answer(other).hasSuffix("hello\n"))
        clock.advance(.seconds(11))
        try settle()
        #expect(slow.receive().ended)
    }

    @Test func `the longest idle connection gives way to a new one`() throws {
        let server = makeServer { $0.connections = 2 }
        let first = try connect(to: server)
        clock.advance(.seconds(1))
        try settle()
        let second = try connect(to: server)
        clock.advance(.seconds(1))
        try first.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try answer(first).hasSuffix("hello\n"))
        let third = try connect(to: server)
        #expect(server.connectionCount == 2)
        #expect(second.receive().ended)
        #expect(!first.receive().ended)
        #expect(!third.receive().ended)
    }

    @Test func `the octets of all requests together are bounded`() throws {
        let server = makeServer { $0.heldOctets = 10_000 }
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"
        let half = String(repeating: "a", count: 6_000)
        let (one, other) = (try connect(to: server), try connect(to: server))
        try one.send(head + half)
        #expect(try answer(one).isEmpty)
        try other.send(head + half)
        #expect(try answer(other).hasPrefix("HTTP/1.1 503 "))
        try one.send(String(half.prefix(3_000)))
        #expect(try answer(one).hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `clients that do not take their answers are held to a limit together`() throws {
        let server = makeServer { $0.heldOctets = 2_000_000 }
        let request = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
        let clients = try (0..<40).map { _ in try connect(to: server) }
        for client in clients {
            // The answers exceed the socket's buffer, so the server holds the rest.
            try client.send(String(repeating: request, count: 10))
            for _ in 0..<10 { try settle() }
        }
        let ended = clients.filter { $0.receive().ended }
        #expect(!ended.isEmpty && ended.count < clients.count)
        let other = try connect(to: server)
        try other.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try answer(other).hasSuffix("hello\n"))
    }

    @Test("octets of chance hurt nobody", arguments: [UInt64](0..<60))
    func garbage(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let server = makeServer()
        let client = try connect(to: server)
        let words = [
            "GET ", "POST ", "/echo ", "/hello ", "HTTP/1.1\r\n", "HTTP/1.0\r\n", "Host: a\r\n",
            "Content-Length: ", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n",
            "\r\n",
            "\r\n\r\n", "5\r\n", "0\r\n\r\n", "ffffffff\r\n", "18446744073709551616\r\n", " ", "\n",
            "\0", "%2e%2e/", "*", ":", "\u{e9}", String(repeating: "y", count: 5_000),
        ]
        for _ in 0..<200 where server.connectionCount > 0 {
            let word = words.randomElement(using: &random) ?? ""
            do {
                try client.send(word)
            } catch {
                break
            }
            if Bool.random(using: &random) { try loop.turn(waitingAtMost: .zero) }
        }
        clock.advance(.seconds(11))
        try settle()
        #expect(server.connectionCount == 0)
        let other = try connect(to: server)
        try other.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try answer(other).hasSuffix("hello\n"))
    }

    @Test func `a last answer arrives whole though the client still sends`() throws {
        let server = makeServer()
        let client = try connect(to: server)
        try client.send("nonsense\r\n\r\n" + String(repeating: "x", count: 100_000))
        try settle()
        let (text, ended) = client.receive()
        #expect(text.hasSuffix("400 Bad Request: malformed HTTP request line"))
        #expect(ended)
        // The client has half a second to read and close.
        #expect(server.connectionCount == 1)
        clock.advance(.milliseconds(600))
        try settle()
        #expect(server.connectionCount == 0)
    }

    @Test func `closing the server ends every connection`() throws {
        let server = makeServer()
        let clients = [try connect(to: server), try connect(to: server)]
        server.close()
        try settle()
        #expect(server.connectionCount == 0)
        for client in clients { #expect(client.receive().ended) }
    }

    private func makeServer(_ change: (inout HTTPServer.Limits) -> Void = { _ in }) -> HTTPServer {
        var limits = HTTPServer.Limits()
        change(&limits)
        let routes = [
            HTTPRoute("/hello") { _, _ in .content(Array("hello\n".utf8)) },
            HTTPRoute("/large") { _, _ in .content([UInt8](repeating: 0x61, count: 100_000)) },
            HTTPRoute("/echo") { request, _ in .content(request.body) },
        ]
        return HTTPServer(
            loop: loop,
            routes: routes,
            admitting: HTTPAdmission(),
            limits: limits
        ) { 784_111_777 }
    }

    private func connect(to server: HTTPServer) throws -> StreamClient {
        let pair = try Socket.pair()
        let duplicate = try pair.one.duplicate()
        server.accept(duplicate, from: nil)
        return StreamClient(try pair.other.duplicate())
    }

    private func settle() throws {
        for _ in 0..<4 { try loop.turn(waitingAtMost: .zero) }
    }

    private func answer(_ client: StreamClient) throws -> String {
        try settle()
        return client.receive().text
    }

    private func received(_ client: StreamClient) throws -> (text: String, ended: Bool) {
        try settle()
        client.endSending()
        try settle()
        return client.receive()
    }
}
