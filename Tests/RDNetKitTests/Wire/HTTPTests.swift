import Testing

@testable import RDNetKit

@Suite("HTTP request head")
struct HTTPRequestHeadTests {
    @Test(
        "reads the target",
        arguments: [
            ("/", "/", nil),
            ("/a/b?c=d?e", "/a/b", "c=d?e"),
            ("/a%20b%2f", "/a b/", nil),
            ("http://gateway:80/a?b", "/a", "b"),
            ("HTTP://gateway", "/", nil),
            ("http://gateway?b", "/", "b"),
            ("*", "*", nil),
        ] as [(String, String, String?)]
    )
    func target(text: String, path: String, query: String?) throws {
        let head = try parse("GET \(text) HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(head.path == path)
        #expect(head.query == query)
    }

    @Test(
        "refuses what RFC 9112 forbids",
        arguments: [
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("G T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET / SPDY\r\nHost: a\r\n\r\n", 400),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\u{0}\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                400
            ),
        ]
    )
    func refusal(text: String, status: Int) {
        let error = #expect(throws: HTTPError.self) { try parse(text) }
        #expect(error?.status == status)
    }

    @Test(
        "knows whether the client goes on",
        arguments: [
            ("1.1", "", true), ("1.1", "Connection: Close\r\n", false),
            ("1.1", "Connection: x, close\r\n", false), ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", true),
        ]
    )
    func persistence(version: String, field: String, keepsAlive: Bool) throws {
        let head = try parse("GET / HTTP/\(version)\r\nHost:\r\n\(field)\r\n")
        #expect(head.keepsAlive == keepsAlive)
    }

    @Test func `equal lengths are one, empty lines before the request line are none`() throws {
        let head = try parse("\r\n\r\nPOST / HTTP/1.1\nHost: a\nContent-Length: 3, 3\n\n")
        #expect(head.method == "POST")
        #expect(try head.framing() == .length(3))
    }

    private func parse(_ text: String) throws(HTTPError) -> HTTPRequestHead {
        try HTTPRequestHead(parsing: Array(text.utf8)[...])
    }
}

@Suite("HTTP request reader")
struct HTTPRequestReaderTests {
    private static let stream = """
        GET /one HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
        POST /three HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
        GET /four HTTP/1.0\n\n
        """

    @Test("finds pipelined requests in pieces of any size", arguments: [1, 2, 3, 7, 64, 4096])
    func pieces(size: Int) throws {
        var reader = HTTPRequestReader()
        var found: [String] = []
        let octets = Array(Self.stream.utf8)
        for start in stride(from: 0, to: octets.count, by: size) {
            let piece = octets[start..<min(start + size, octets.count)]
            piece.withUnsafeBytes { reader.append($0) }
            while case .message(let request) = try reader.next() {
                found.append(
                    request.head.path + " " + String(decoding: request.body, as: UTF8.self)
                )
            }
        }
        #expect(found == ["/one ", "/two hello", "/three abc0123456789", "/four "])
        #expect(!reader.isInsideMessage)
        #expect(reader.heldOctets == 0)
    }

    @Test func `tells once that the client waits for a word`() throws {
        var reader = HTTPRequestReader()
        append(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            &reader
        )
        #expect(try reader.next() == .continueExpected)
        #expect(try reader.next() == .needsMore)
        append("ab", &reader)
        guard case .message(let request) = try reader.next() else {
            Issue.record("no request")
            return
        }
        #expect(request.body == [0x61, 0x62])
    }

    @Test func `says nothing to a client whose body is here already`() throws {
        var reader = HTTPRequestReader()
        append(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
            &reader
        )
        guard case .message = try reader.next() else {
            Issue.record("no request")
            return
        }
    }

    @Test(
        "refuses bodies that lie or are too long",
        arguments: [
            ("Content-Length: 1048577\r\n\r\n", 413),
            ("Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + String(repeating: "a", count: 9), nil),
            ("Transfer-Encoding: chunked\r\n\r\n100001\r\n", 413),
            ("Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
            ("Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n1;" + String(repeating: "x", count: 2000), 431),
            ("X: " + String(repeating: "x", count: 17_000), 431),
            ("X: " + String(repeating: "x", count: 17_000) + "\r\n\r\n", 431),
            (String(repeating: "a:\r\n", count: 200) + "\r\n", 431),
        ] as [(String, Int?)]
    )
    func refusal(rest: String, status: Int?) throws {
        var reader = HTTPRequestReader()
        append("POST / HTTP/1.1\r\nHost: a\r\n" + rest, &reader)
        guard let status else {
            #expect(try reader.next() == .needsMore)
            return
        }
        let error = #expect(throws: HTTPError.self) { try reader.next() }
        #expect(error?.status == status)
    }

    private func append(_ text: String, _ reader: inout HTTPRequestReader) {
        Array(text.utf8).withUnsafeBytes { reader.append($0) }
    }
}

@Suite("HTTP texts")
struct HTTPTextTests {
    @Test(
        "dates are those of RFC 9110",
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] as [(Int64, String)]
    )
    func date(seconds: Int64, text: String) {
        #expect(HTTPDate.text(seconds) == text)
    }

    @Test(
        "paths are cleaned as Go cleans them",
        arguments: [
            ("", "/"), ("/", "/"), ("//", "/"), ("/a//b", "/a/b"), ("/a/./b/", "/a/b/"),
            ("/../a", "/a"), ("/a/../../b", "/b"), ("/a/..", "/"), ("/a/.", "/a"),
            // A slash is one even before a combining character.
            ("/\u{301}b", "/\u{301}b"), ("/a/../\u{301}b/", "/\u{301}b/"), ("/a/\u{301}/..", "/a"),
        ]
    )
    func cleaning(path: String, cleaned: String) {
        #expect(URLPath.cleaned(path) == cleaned)
    }

    @Test(
        "host and port are taken apart as Go does",
        arguments: [
            ("a:1", "a", "1", nil), (":1", "", "1", nil), ("[::1]:1", "::1", "1", nil),
            ("a:", "a", "", nil), ("", "", "", "missing port in address"),
            ("a", "", "", "address a: missing port in address"),
            ("x:y:z", "", "", "address x:y:z: too many colons in address"),
            ("[::1]", "", "", "address [::1]: missing port in address"),
            ("[::1", "", "", "address [::1: missing ']' in address"),
            ("[::1]a:1", "", "", "address [::1]a:1: missing port in address"),
            ("[::1]:1:2", "", "", "address [::1]:1:2: too many colons in address"),
            ("a[:1", "", "", "address a[:1: unexpected '[' in address"),
            ("a]:1", "", "", "address a]:1: unexpected ']' in address"),
        ] as [(String, String, String, String?)]
    )
    func hostPort(text: String, host: String, port: String, sentence: String?) {
        do {
            let parts = try HostPortText(text)
            #expect(sentence == nil)
            #expect(parts.host == host)
            #expect(parts.port == port)
        } catch {
            #expect(error.description == sentence)
        }
    }
}
