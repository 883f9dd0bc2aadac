import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "what a person sees of failures",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct FailureTests {
    private let world: SwitchedGuest
    private var api: String { "unix://" + world.directory.file("api") }

    init() throws {
        world = try SwitchedGuest()
    }

    private func ctl(_ words: String...) throws -> String {
        let program = try CtlProgram(words, api: api)
        #expect(try program.end() == 0, "\(words) \(program.error)")
        return program.text
    }

    /// The rows of a table, without its headings.
    private func rows(_ words: String...) throws -> [String] {
        let program = try CtlProgram(words, api: api)
        #expect(try program.end() == 0, "\(words)")
        return program.text.split(separator: "\n").dropFirst().map {
            $0.split(separator: " ").joined(separator: " ")
        }
    }

    @Test func `curl and dig leave a row each, with name and reason`() throws {
        let host = SwitchedGuest.hostAlias
        try world.guest.run("dig", "+short", "@192.168.127.1", "host.docker.internal")
        try world.guest.run("sh", "-c", "curl -s -m 9 http://\(host):9/; true")
        try world.guest.run("sh", "-c", "curl -s -m 9 http://169.254.169.254/; true")
        try world.guest.run("sh", "-c", "curl -s -m 9 http://203.0.113.9/; true")
        try world.guest.run("sh", "-c", "dig +tries=1 +time=1 @\(host) -p 9 a.example; true")
        let failed = try rows("flows", "--failed")
        func has(_ parts: String...) -> Bool {
            failed.contains { row in parts.allSatisfy { row.contains($0) } }
        }
        #expect(has("tcp 192.168.127.2:", "\(host):9 host.docker.internal refused"), "\(failed)")
        #expect(has("169.254.169.254:80", "blocked"), "\(failed)")
        // The host's namespace has no route.
        #expect(has("203.0.113.9:80", "no route"), "\(failed)")
        #expect(has("udp 192.168.127.2:", "\(host):9", "refused"), "\(failed)")
        let lines = world.logs.split(separator: "\n").filter {
            $0.contains(" msg=\"connection failed\" ")
        }
        for reason in ["refused", "blocked", "no_route"] {
            #expect(lines.filter { $0.contains(" reason=\(reason) ") }.count == 1, "\(reason)")
        }
        let document = try ctl("flows", "--failed", "--json")
        #expect(document.contains(#""error":"Network is unreachable""#))
    }

    @Test func `a forward whose guest refuses says so`() throws {
        try world.askAPI(
            "/services/forwarder/expose",
            body: #"{"local":"127.0.0.1:8080","remote":"192.168.127.2:7"}"#
        )
        try world.host.run("sh", "-c", "curl -s -m 9 http://127.0.0.1:8080/; true")
        #expect(try rows("forwards").first?.contains("192.168.127.2:7 1 ") == true)
        #expect(try rows("forwards").first?.contains("refused") == true)
        #expect(try rows("flows", "--failed").contains { $0.hasPrefix("tcp in 192.168.127.2:7") })
        #expect(world.logs.contains("a guest did not accept a connection"))

        try world.serveEcho(7, in: world.guest)
        let load = try world.load("rr", "127.0.0.1", "8080", "0.01", in: world.host)
        #expect(load["count", default: 0] > 0)
        #expect(try rows("forwards").first?.contains(" connected ") == true)
    }

    @Test func `the log level changes while the program runs`() throws {
        #expect(try ctl("log-level") == "info\n")
        #expect(try ctl("log-level", "debug") == "debug\n")
        try world.guest.run("dig", "+short", "@192.168.127.1", "host.docker.internal")
        #expect(world.logs.contains("level=debug msg=\"DNS query\""))
        #expect(world.logs.contains("msg=\"log level changed\" from=info to=debug"))
        #expect(try ctl("log-level", "info") == "info\n")
    }

    @Test func `a resolver that refuses is down, in ctl dns, the log and the metrics`() throws {
        let world = try SwitchedGuest(hostOptions: ["--dns-server", "127.0.0.1:5399"])
        try world.guest.run("sh", "-c", "dig +tries=1 +time=5 @192.168.127.1 a.example; true")
        let api = "unix://" + world.directory.file("api")
        let program = try CtlProgram(["dns"], api: api)
        #expect(try program.end() == 0)
        #expect(program.text.contains("127.0.0.1:5399  down"), "\(program.text)")
        #expect(program.text.contains("Connection refused"))
        let warnings = world.logs.components(separatedBy: "msg=\"DNS server does not answer\"")
        #expect(warnings.count == 2)
        #expect(
            try world.askAPI("/metrics").contains(
                #"rdnet_dns_server_up{server="127.0.0.1:5399"} 0"#
            )
        )
    }

    @Test func `the doctor names what is wrong, and what to do`() throws {
        // The test's own namespace is another one, whose routes and resolvers say nothing.
        let far = try CtlProgram(["doctor"], api: api)
        #expect(try far.end() == 1)
        #expect(far.text.contains("MTU          1500 in the network\n"), "\(far.text)")
        #expect(far.text.contains(" is unused; "), "\(far.text)")

        func doctor(_ words: String) throws -> String {
            let command = "\(BuiltProgram.rdnet) doctor --api \(api) \(words); test $? = 1"
            return try world.host.run("sh", "-c", command)
        }
        // The host's namespace has no route, and no resolver answers.
        let text = try doctor("")
        let lines = text.split(separator: "\n")
        for (start, part) in [
            ("ok ", "host end"), ("failure ", "the host has no IPv4 default route; next: connect"),
            ("ok ", "link 0"), ("ok ", "192.168.127.2"), ("ok ", "forwards"), ("failure ", "DNS"),
        ] {
            #expect(
                lines.contains { $0.hasPrefix(start) && $0.contains(part) },
                "\(part): \(text)"
            )
        }
        let findings = try JSONParser.parse(Array(try doctor("--json").utf8)).elements
        #expect(findings.count == lines.count)
        #expect(findings.allSatisfy { !$0.text("subject").isEmpty && !$0.text("text").isEmpty })
    }
}
