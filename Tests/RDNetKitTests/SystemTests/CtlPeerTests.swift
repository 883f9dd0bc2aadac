import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The test plays the server that `ctl` queries: another program, or a hostile one.
@Suite("ctl and who answers it")
final class CtlPeerTests {
    private let directory = TemporaryDirectory()
    private let listener: OwnedDescriptor
    /// A client that is still connected.
    private var client: HostPeer?
    private var api: String { "unix://" + directory.file("api") }

    init() throws {
        listener = try ListeningSocket.unix(path: directory.file("api"))
    }

    /// Accepts a request, answers it and disconnects; returns the request.
    @discardableResult
    private func answer(_ text: String, staying: Bool = false) throws -> String {
        var peer: HostPeer?
        let isAsked = try comesTrue {
            if peer == nil, let accepted = try Socket.accept(listener) {
                peer = HostPeer(try accepted.descriptor.duplicate())
            }
            return peer?.text.contains("\r\n\r\n") ?? false
        }
        #expect(isAsked)
        let asked = try #require(peer)
        try asked.write(Array(text.utf8))
        if staying { client = asked } else { asked.close() }
        return asked.text
    }

    @Test func `a question is one request, and its answer may come in chunks`() throws {
        let program = try CtlProgram(["leases"], api: api)
        let question = try answer(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "5\r\n{\"10.\r\nc\r\n0.0.1\":\"a\"}\n\r\n0\r\n\r\n"
        )
        #expect(
            question
                == "GET /services/dhcp/leases?details=true HTTP/1.1\r\nHost: rdnet\r\n\r\n"
        )
        #expect(try program.end() == 0)
        #expect(program.text == "ADDRESS   MAC\n10.0.0.1  a\n")
    }

    @Test func `an answer that ends with the connection is an answer`() throws {
        let program = try CtlProgram(["forwards", "--json"], api: api)
        try answer("HTTP/1.0 200 OK\n\n[]")
        #expect(try program.end() == 0)
        #expect(program.text == "[]")
    }

    @Test func `a change is posted with its length`() throws {
        let program = try CtlProgram(["expose", ":1", "10.0.0.2:2"], api: api)
        let question = try answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let body = #"{"local":":1","protocol":"tcp","remote":"10.0.0.2:2"}"#
        #expect(
            question == "POST /services/forwarder/expose HTTP/1.1\r\nHost: rdnet\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        #expect(try program.end() == 0)
    }

    @Test(
        "an answer that is none is one sentence and status 1",
        arguments: [
            ("", "the connection ended before the answer"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[",
                "the connection ended before the answer"
            ),
            ("SSH-2.0-x\r\n\r\n", "this is not the API: malformed HTTP status line"),
            (
                "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: 20_000),
                "this is not the API: its head is too long"
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                "the answer to /flows is not JSON: invalid character 'x' looking for beginning of value"
            ),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it has no /flows"),
        ]
    )
    func noAnswer(text: String, reason: String) throws {
        let program = try CtlProgram(["flows"], api: api)
        try answer(text)
        #expect(try program.end() == 1)
        #expect(program.error == "rdnet ctl: \(api): \(reason)\n")
    }

    @Test func `an error's text is told in one line, and does nothing to a terminal`() throws {
        let program = try CtlProgram(["leases"], api: api)
        try answer(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 10\r\n\r\none\n\u{1b}[2Jx\n"
        )
        #expect(try program.end() == 1)
        #expect(program.error == "rdnet ctl: one \\x1b[2Jx\n")
    }

    @Test func `what is asked for a tunnel may be refused`() throws {
        let program = try CtlProgram(["tunnel", "10.0.0.2:22"], api: api)
        let question = try answer(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nnone\n"
        )
        #expect(
            question == "POST /tunnel?ip=10.0.0.2&port=22&wait=true HTTP/1.1\r\nHost: rdnet\r\n"
                + "Content-Length: 0\r\n\r\n"
        )
        #expect(try program.end() == 1)
        #expect(program.error == "rdnet ctl: none\n")
    }

    @Test func `a refused hold is told at once, although the server stays connected`() throws {
        let program = try CtlProgram(["expose", "--hold", ":1", "10.0.0.2:2"], api: api)
        try answer(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\ntaken\n",
            staying: true
        )
        #expect(try program.end() == 1)
        #expect(program.error == "rdnet ctl: taken\n")
    }

    @Test func `gvproxy says OK before it knows, and hangs up where nobody answers`() throws {
        let program = try CtlProgram(["tunnel", "10.0.0.2:22"], api: api)
        try program.endInput()
        try answer("OK")
        #expect(try program.end() == 1)
        let sentence = "10.0.0.2:22: the guest cannot be reached there, or refuses the connection"
        #expect(program.error == "rdnet ctl: \(sentence)\n")
    }
}
