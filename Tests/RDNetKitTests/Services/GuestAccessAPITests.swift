import Testing

@testable import RDNetKit

@Suite("the API's ways to guests")
struct GuestAccessAPITests {
    private let fixture: APIFixture
    private let server: HTTPServer

    init() throws {
        fixture = try APIFixture()
        server = HTTPServer(
            loop: fixture.loop,
            routes: fixture.hostRoutes,
            admitting: HTTPAdmission()
        )
    }

    private func connect(
        from peer: Endpoint? = nil,
        to other: HTTPServer? = nil
    ) throws -> StreamClient {
        let pair = try Socket.pair()
        (other ?? server).accept(try pair.one.duplicate(), from: peer)
        return StreamClient(try pair.other.duplicate())
    }

    private func settle() throws {
        for _ in 0..<4 { try fixture.loop.turn(waitingAtMost: .zero) }
    }

    @Test(
        "gvforwarder's request makes a link: no octet is answered, none is lost",
        arguments: ["POST", "GET", "CONNECT"]
    )
    func link(method: String) throws {
        let peer = Endpoint(address: .loopbackIPv4, port: 40_000)
        let client = try connect(from: peer)
        // The exact bytes of gvforwarder's request, directly followed by frames.
        try client.send(
            "\(method) /connect HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n"
                + "Content-Length: 0\r\n\r\nfirst"
        )
        try settle()
        try #require(fixture.links.count == 1)
        #expect(server.connectionCount == 0)
        #expect(fixture.links[0].peer == peer)
        try client.send(" second")
        #expect(fixture.links[0].client.receive().text == "first second")
        try fixture.links[0].client.send("down")
        #expect(client.receive() == ("down", false))
    }

    @Test func `where services are offered there are no links`() {
        let answer = fixture.ask("POST", "/connect", at: fixture.serviceRoutes)
        #expect(answer == .error(404, "404 page not found"))
    }

    @Test(
        "a tunnel leads to the guest, with what was sent ahead",
        arguments: ["GET", "POST", "PUT"]
    )
    func tunnel(method: String) throws {
        let client = try connect()
        try client.send(
            "\(method) /tunnel?ip=192.168.127.2&port=22 HTTP/1.1\r\nHost: a\r\n\r\nSSH-2.0-x\r\n"
        )
        try settle()
        #expect(client.receive() == ("OK", false))
        #expect(fixture.connector.guests == [Endpoint(address: ScriptedGuest.address, port: 22)])
        let guest = try #require(fixture.connector.streams.first)
        client.endSending()
        #expect(guest.receive() == ("SSH-2.0-x\r\n", true))
        try guest.send("half-closed")
        #expect(client.receive() == ("half-closed", false))
    }

    @Test(
        "a tunnel's client that waits is told what became of it",
        arguments: [
            (.connected, nil), (.refused, "192.168.127.2:22 refuses the connection"),
            (.silent, "192.168.127.2:22 does not answer"),
            (.absent, "no guest has the address 192.168.127.2"),
            (.impossible, "192.168.127.2 is not a guest's address, or there are too many flows"),
        ] as [(GuestAnswer, String?)]
    )
    func waiting(answer: GuestAnswer, sentence: String?) throws {
        fixture.connector.answer = answer
        let client = try connect()
        try client.send(
            "POST /tunnel?ip=192.168.127.2&port=22&wait=true HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        try settle()
        let (text, _) = client.receive()
        guard let sentence else {
            #expect(text == "UP")
            return
        }
        #expect(text.hasPrefix("HTTP/1.1 502 Bad Gateway\r\n"))
        #expect(text.contains("\r\nContent-Length: \(sentence.utf8.count + 1)\r\n"))
        #expect(text.hasSuffix("\r\n\r\n\(sentence)\n"))
    }

    @Test(
        "a tunnel to nowhere is refused before anything is taken over",
        arguments: [
            ("", "ip is mandatory"), ("?port=22", "ip is mandatory"),
            ("?ip=&port=22", "ip is mandatory"),
            ("?ip=192.168.127.2", #"strconv.ParseUint: parsing "": invalid syntax"#),
            ("?ip=192.168.127.2&port=ssh", #"strconv.ParseUint: parsing "ssh": invalid syntax"#),
            ("?ip=192.168.127.2&port=-1", #"strconv.ParseUint: parsing "-1": invalid syntax"#),
            (
                "?ip=192.168.127.2&port=65536",
                #"strconv.ParseUint: parsing "65536": value out of range"#
            ),
            ("?ip=guest&port=22", "invalid remote addr: guest is not an IP address"),
        ]
    )
    func refusal(query: String, text: String) {
        #expect(fixture.ask("POST", "/tunnel" + query) == .error(500, text))
        #expect(fixture.connector.guests.isEmpty)
    }

    @Test func `a tunnel ends with an engine that does not take it`() throws {
        let engine = fixture.guest.engine
        let access = GuestAccessAPI(
            connector: engine,
            call: { _, stream, _ in _ = consume stream },
            attach: { stream, _ in _ = consume stream }
        )
        let server = HTTPServer(
            loop: fixture.loop,
            routes: [access.tunnel],
            admitting: HTTPAdmission()
        )
        let client = try connect(to: server)
        // Outside the virtual network.
        try client.send("GET /tunnel?ip=10.9.9.9&port=22 HTTP/1.1\r\nHost: a\r\n\r\n")
        try settle()
        var answer = ""
        let hasEnded = followsClose {
            let (text, ended) = client.receive()
            answer += text
            return ended
        }
        #expect(hasEnded && answer == "OK")
    }
}
