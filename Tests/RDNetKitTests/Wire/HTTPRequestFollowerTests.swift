import Testing

@testable import RDNetKit

@Suite("HTTP request follower")
struct HTTPRequestFollowerTests {
    private typealias Step = HTTPRequestFollower.Step

    /// What a connection comes to: its requests' names, the bytes that passed, and the last step.
    private struct Course: Equatable {
        var names: [String?] = []
        var passed = 0
        var last = Step.needsMore
    }

    /// Follows a stream that arrives in segments of a size.
    private func follow(_ stream: [UInt8], segment: Int) -> Course {
        var (follower, course, held) = (HTTPRequestFollower(), Course(), [UInt8]())
        for start in stride(from: 0, to: stream.count, by: segment) {
            held += stream[start...].prefix(segment)
            while true {
                course.last = held.withUnsafeBytes { follower.read($0) }
                var length = 0
                switch course.last {
                case .request(let name, let count):
                    (length, course.names) = (count, course.names + [name])
                case .body(let count): length = count
                case .needsMore, .notHTTP, .opaque, .invalid: break
                }
                guard length > 0 else { break }
                held.removeFirst(length)
                course.passed += length
            }
            guard course.last == .needsMore else { break }
        }
        return course
    }

    /// All at once and byte by byte; both must agree.
    private func follow(
        _ text: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> Course {
        let stream = Array(text.utf8)
        let course = follow(stream, segment: max(stream.count, 1))
        for segment in [1, 2, 7] {
            #expect(
                follow(stream, segment: segment) == course,
                "in segments of \(segment)",
                sourceLocation: sourceLocation
            )
        }
        return course
    }

    private func fault(_ text: String) -> HTTPRequestFault? {
        guard case .invalid(let fault) = follow(text).last else { return nil }
        return fault
    }

    private let get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

    // MARK: Names

    @Test(
        "names the server in one spelling",
        arguments: [
            ("a.example", "a.example"),
            ("A.Example", "a.example"),
            ("a.example.", "a.example"),
            ("a.example:8080", "a.example"),
            ("a.example.:80", "a.example"),
            ("a.example:", "a.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:8080", "2001:db8::1"),
        ]
    )
    func host(text: String, name: String) {
        let request = "GET /x HTTP/1.1\r\nAccept: */*\r\nhOsT:  \(text)\t\r\n\r\n"
        #expect(follow(request) == Course(names: [name], passed: request.utf8.count))
    }

    @Test(
        "refuses a Host field that is no server",
        arguments: [
            "", "user@a.example", "a.example:80:80", "a.example:http", "a.example:65536",
            "a example",
            "a.example, b.example", "a.example/", "bücher.example", "[2001:db8::1",
            "[2001:db8::1]80",
            "2001:db8::1", "[a.example]", "[192.0.2.1]", "[fe80::1%25eth0]", "a..example", ".",
            ":80",
        ]
    )
    func badHost(text: String) {
        #expect(fault("GET / HTTP/1.1\r\nHost: \(text)\r\n\r\n") == .badAuthority)
    }

    @Test(
        "takes the name from an absolute target or from CONNECT",
        arguments: [
            ("GET http://A.example/x HTTP/1.1\r\nHost: a.example", "a.example"),
            ("GET HTTP://a.example:80?x HTTP/1.1\r\nHost: a.example.", "a.example"),
            ("GET http://a.example HTTP/1.0", "a.example"),
            ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443", "a.example"),
            ("OPTIONS * HTTP/1.1\r\nHost: a.example", "a.example"),
        ]
    )
    func target(head: String, name: String) {
        #expect(follow(head + "\r\n\r\n").names == [name])
    }

    @Test func `has no name in HTTP/1.0 without Host`() {
        #expect(follow("GET / HTTP/1.0\r\n\r\n").names == [nil])
    }

    @Test(
        "refuses a request that names no server or two",
        arguments: [
            ("GET / HTTP/1.1", .missingHost),
            ("GET http://a.example/ HTTP/1.1", .missingHost),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example", .manyHosts),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nhost: a.example", .manyHosts),
            ("GET / HTTP/1.0\r\nHost: a.example\r\nHost: a.example", .manyHosts),
            ("GET http://b.example/ HTTP/1.1\r\nHost: a.example", .differentAuthorities),
            ("GET http://b.example\\@a.example/ HTTP/1.1\r\nHost: a.example", .badAuthority),
            ("GET http://a.example@b.example/ HTTP/1.1\r\nHost: a.example", .badAuthority),
            ("GET http:/// HTTP/1.1\r\nHost: a.example", .badAuthority),
            ("CONNECT b.example:443 HTTP/1.1\r\nHost: a.example:443", .differentAuthorities),
            ("CONNECT / HTTP/1.1\r\nHost: a.example", .badAuthority),
            ("GET ftp://a.example/ HTTP/1.1\r\nHost: a.example", .malformedRequestLine),
            ("GET a.example/ HTTP/1.1\r\nHost: a.example", .malformedRequestLine),
        ] as [(String, HTTPRequestFault)]
    )
    func names(head: String, expected: HTTPRequestFault) {
        #expect(fault(head + "\r\n\r\n") == expected)
    }

    // MARK: Streams of requests

    /// curl 7.88.1: `curl http://Example.test:PORT/ --next -d a=b http://other.test:PORT/x`.
    @Test func `names the server of every request on a connection`() {
        let first = """
            GET / HTTP/1.1\r\nHost: Example.test:8080\r\nUser-Agent: curl/7.88.1\r\n\
            Accept: */*\r\n\r\n
            """
        let second = """
            POST /x HTTP/1.1\r\nHost: other.test:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\
            Content-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=b
            """
        let stream = first + second + "\r\n" + first
        let course = follow(stream)
        #expect(course.names == ["example.test", "other.test", "example.test"])
        #expect(course == Course(names: course.names, passed: stream.utf8.count))
    }

    @Test(
        "finds the request after a body",
        arguments: [
            ("Content-Length: 5", "GET /"),
            ("Content-Length: 0", ""),
            ("Content-Length: 5, 5", "hello"),
            ("Content-Length: 5\r\nContent-Length: 5", "hello"),
            ("Transfer-Encoding: chunked", "0\r\n\r\n"),
            ("transfer-encoding: Chunked", "5\r\nhello\r\n0\r\n\r\n"),
            (
                "Transfer-Encoding: chunked",
                "009;name=\"x\"\r\n0\r\n\r\n GET\r\n1\r\nx\r\n0\r\nX: y\r\n\r\n"
            ),
        ]
    )
    func body(field: String, body: String) {
        let stream =
            "POST / HTTP/1.1\r\nHost: a.example\r\n\(field)\r\n\r\n\(body)"
            + "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"
        let expected = Course(names: ["a.example", "b.example"], passed: stream.utf8.count)
        #expect(follow(stream) == expected)
    }

    @Test(
        "refuses a body whose end is ambiguous",
        arguments: [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1, 2",
            "Content-Length: -1",
            "Content-Length: +1",
            "Content-Length: 0x1",
            "Content-Length:",
            "Content-Length: 9999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding:",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ]
    )
    func framing(fields: String) {
        #expect(fault("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n") == .ambiguousBody)
    }

    @Test func `refuses a coded body in HTTP/1.0 and a body of CONNECT`() {
        let head = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(fault(head) == .ambiguousBody)
        let tunnel = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n"
        #expect(fault(tunnel) == .ambiguousBody)
    }

    @Test(
        "refuses malformed chunks",
        arguments: [
            ("x\r\n", .ambiguousBody), ("\r\n", .ambiguousBody), (" 5\r\n", .ambiguousBody),
            ("5 \r\n", .ambiguousBody), ("0x5\r\n", .ambiguousBody), ("+5\r\n", .ambiguousBody),
            ("100000000\r\n", .ambiguousBody), ("1\r\nab\r\n", .ambiguousBody),
            ("5;\u{1}\r\n", .ambiguousBody), ("5\n", .malformedHead),
            ("5;a\nb\r\n", .malformedHead),
            ("5\rx", .malformedHead), ("0\r\nHost: b\r\n\r\n", .ambiguousBody),
            ("0\r\nContent-Length: 5\r\n\r\n", .ambiguousBody),
            ("0\r\n X: y\r\n\r\n", .malformedHead),
        ] as [(String, HTTPRequestFault)]
    )
    func chunks(body: String, expected: HTTPRequestFault) {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(fault(head + body) == expected)
    }

    @Test func `passes a body as it comes`() {
        var follower = HTTPRequestFollower()
        let head = Array("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n".utf8)
        let first = (head + [1, 2]).withUnsafeBytes { follower.read($0) }
        #expect(first == .request(authority: "a", length: head.count))
        #expect([UInt8]([1, 2]).withUnsafeBytes { follower.read($0) } == .body(2))
        #expect([UInt8]().withUnsafeBytes { follower.read($0) } == .needsMore)
        #expect([UInt8]([3, 4, 5, 71]).withUnsafeBytes { follower.read($0) } == .body(3))
        #expect([UInt8]([71]).withUnsafeBytes { follower.read($0) } == .needsMore)
    }

    // MARK: Heads

    @Test(
        "refuses a head that servers divide in different ways",
        arguments: [
            "Host: a\r\nX: b\r\n folded", "Host: a\r\n\tfolded: b", " Host: a", "Host : a",
            "Host\t: a", ": a", "Host", "Host: a\rX: b", "Host: a\nX: b", "Host: a\u{0}",
            "Host: a\u{b}",
            "X: y\n\nHost: a", "H\u{e9}: a",
        ]
    )
    func head(fields: String) {
        #expect(fault("GET / HTTP/1.1\r\n\(fields)\r\n\r\n") == .malformedHead)
    }

    @Test(
        "refuses a request line that lenient servers repair",
        arguments: [
            ("GET /\r\n", .malformedRequestLine), ("GET /", nil),
            ("POST /a b\r\n", .malformedRequestLine),
            ("GET  / HTTP/1.1\r\n", .malformedRequestLine),
            ("GET / HTTP/1.1 \r\n", .malformedRequestLine),
            ("GET\t", .malformedRequestLine), ("GET /\t", .malformedRequestLine),
            ("GET /\u{0}", .malformedRequestLine), ("GET / HTTP/1.1\n", .malformedRequestLine),
            ("GET / HTTP/1.1\rX", .malformedRequestLine), ("GET /\n", .malformedRequestLine),
            ("GET http://a.example/\r\n", .malformedRequestLine),
            ("GET / b HTTP/1.1\r\n", .malformedRequestLine),
            ("GET / HTTP/1.2\r\n", .unsupportedVersion),
            ("GET / http/1.1\r\n", .unsupportedVersion),
            ("GET / HTTP/1.10\r\n", .unsupportedVersion),
            ("PRI * HTTP/2.0\r\n", .unsupportedVersion),
        ] as [(String, HTTPRequestFault?)]
    )
    func requestLine(line: String, expected: HTTPRequestFault?) {
        #expect(fault(line) == expected)
    }

    @Test func `follows methods that only some servers know`() {
        let method = String(repeating: "m", count: 100)
        #expect(follow("\(method) / HTTP/1.1\r\nHost: a.example\r\n\r\n").names == ["a.example"])
    }

    @Test func `skips line ends before a request`() {
        #expect(follow("\r\n\n\r" + get).names == ["a.example"])
    }

    @Test func `limits a head to 64 KiB`() {
        let field = "X: " + String(repeating: "x", count: 65_000) + "\r\n"
        let start = "GET / HTTP/1.1\r\nHost: a.example\r\n"
        let filler = 65_536 - start.utf8.count - field.utf8.count - 2
        let last = "Y: " + String(repeating: "y", count: filler - 5) + "\r\n"
        let longest = Array((start + field + last + "\r\n").utf8)
        #expect(longest.count == 65_536)
        #expect(follow(longest, segment: 1_460).names == ["a.example"])
        let longer = Array((start + field + "z" + last + "\r\n").utf8)
        #expect(follow(longer, segment: 1_460).last == .invalid(.headTooLong))
        let endless = [UInt8](repeating: 0x61, count: 70_000)
        #expect(follow(endless, segment: 1_460).last == .invalid(.headTooLong))
        let fields = String(repeating: "a: b\r\n", count: 200)
        #expect(fault(start + fields + "\r\n") == .headTooLong)
    }

    // MARK: Other protocols

    @Test(
        "is not HTTP at the first byte that shows it",
        arguments: [
            "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n", "SSH-2.0-Go\r", "EHLO client.example\r\n",
            "PING\r", "*1\r", "NICK somebody\r\n", "USER a 0 * :A B\r\n",
            "INVITE sip:a SIP/2.0\r\n",
            "OPTIONS rtsp://a.example/ RTSP/1.0\r\n", "get key\r\n",
            "0032git-upload-pack /a.git\u{0}",
            "CONNECT {\"verbose\":false}\r\n", "\u{0}", "\u{16}", " ", "\u{7f}", "PING\n",
            "STAT \r\n",
            "EHLO a\n",
        ]
    )
    func otherProtocol(start: String) {
        #expect(follow(start).last == .notHTTP)
        let before = Array(start.utf8.dropLast())
        #expect(follow(before, segment: 1).last == .needsMore)
    }

    @Test func `stays another protocol, whatever follows`() {
        #expect(follow("EHLO a\r\n" + get) == Course(last: .notHTTP))
        var follower = HTTPRequestFollower()
        #expect([UInt8]([0]).withUnsafeBytes { follower.read($0) } == .notHTTP)
        #expect(Array(get.utf8).withUnsafeBytes { follower.read($0) } == .notHTTP)
    }

    @Test(
        "refuses another protocol after a request",
        arguments: ["EHLO a\r\n", "\u{16}", "\u{80}"]
    )
    func trailing(text: String) {
        #expect(fault(get + text) == .trailingBytes)
    }

    @Test func `ends with a fault for good`() {
        var follower = HTTPRequestFollower()
        let bad = Array("GET / HTTP/1.1\r\n\r\n".utf8)
        #expect(bad.withUnsafeBytes { follower.read($0) } == .invalid(.missingHost))
        #expect(Array(get.utf8).withUnsafeBytes { follower.read($0) } == .invalid(.missingHost))
    }

    @Test(
        "lets another protocol follow CONNECT and an upgrade",
        arguments: [
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ]
    )
    func opaque(head: String) {
        let passed = head.utf8.count
        #expect(
            follow(head + "\u{16}\u{3}\u{1}")
                == Course(names: ["a.example"], passed: passed, last: .opaque)
        )
        #expect(follow(head + "EHLO a\r\n" + get).last == .opaque)
    }

    @Test(
        "checks requests after a switch that the server may have refused",
        arguments: [
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: foo\r\n\r\n",
        ]
    )
    func refusedSwitch(head: String) {
        let next = "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"
        #expect(follow(head + next).names == ["a.example", "b.example"])
        #expect(fault(head + next + "\u{80}") == .trailingBytes)
    }

    @Test(
        "refuses upgrades that hide the names",
        arguments: ["h2c", "H2C", "websocket, h2c", "h2", "TLS/1.0", "HTTP/2.0"]
    )
    func upgrade(name: String) {
        let head =
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: \(name)\r\n\r\n"
        #expect(fault(head) == .unreadableUpgrade)
    }
}
