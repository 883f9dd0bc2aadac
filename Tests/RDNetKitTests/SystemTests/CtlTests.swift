import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "ctl beside a running host-switch",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct CtlTests {
    private let world: SwitchedGuest
    /// Where the API may create sockets.
    private let folder = TemporaryDirectory()
    private var api: String { "unix://" + world.directory.file("api") }

    init() throws {
        world = try SwitchedGuest(hostOptions: [
            "--capture", "/dev/null", "--api-path", folder.path,
        ])
    }

    /// Runs `ctl`, which must succeed; returns its output.
    private func ctl(_ words: String...) throws -> String {
        let program = try CtlProgram(words, api: api)
        #expect(try program.end() == 0, "\(words)")
        #expect(program.error.isEmpty)
        return program.text
    }

    /// Runs `ctl`, which must fail; returns its error message.
    private func failure(_ words: String..., status: Int32 = 1) throws -> String {
        let program = try CtlProgram(words, api: api)
        #expect(try program.end() == status, "\(words)")
        #expect(program.text.isEmpty)
        return program.error
    }

    // MARK: Forwards

    private static let forwardColumns = "PROTOCOL LOCAL REMOTE CLIENTS AGE LAST RESULT"

    @Test func `forwards are made, listed and taken back`() throws {
        let path = folder.file("guest.sock")
        #expect(try ctl("forwards") == "PROTOCOL  LOCAL  REMOTE\n")
        #expect(try ctl("expose", "127.0.0.1:8080", "192.168.127.2:7").isEmpty)
        #expect(try ctl("expose", "--protocol", "udp", ":53", "192.168.127.2:5353").isEmpty)
        #expect(try ctl("expose", path, "tcp://192.168.127.2:7", "--json").isEmpty)
        let rows = try ctl("forwards").split(separator: "\n").map { $0.split(separator: " ") }
        #expect(rows.first?.joined(separator: " ") == Self.forwardColumns)
        let forwards = rows.dropFirst().map { $0.prefix(4).map { String($0) } }
        #expect(
            forwards == [
                ["unix", path, "tcp://192.168.127.2:7", "0"],
                ["tcp", "127.0.0.1:8080", "192.168.127.2:7", "0"],
                ["udp", ":53", "192.168.127.2:5353", "0"],
            ]
        )

        // The TCP forward carries an echo, and the unix socket exists.
        try world.serveEcho(7, in: world.guest)
        #expect(try world.load("rr", "127.0.0.1", "8080", "0.05", in: world.host)["count"] ?? 0 > 0)
        #expect(FileManager.default.fileExists(atPath: path))

        let taken = "rdnet ctl: proxy already running for tcp on 127.0.0.1:8080\n"
        #expect(try failure("expose", "127.0.0.1:8080", "192.168.127.2:7") == taken)
        #expect(
            try failure("expose", ":9", "y") == "rdnet ctl: address y: missing port in address\n"
        )

        #expect(try ctl("unexpose", path).isEmpty)
        #expect(try ctl("unexpose", ":53", "--protocol=udp").isEmpty)
        #expect(try failure("unexpose", ":53") == "rdnet ctl: proxy not found\n")
        #expect(!FileManager.default.fileExists(atPath: path))
        let document =
            #"[{"local":"127.0.0.1:8080","remote":"192.168.127.2:7","protocol":"tcp"}]"# + "\n"
        #expect(try ctl("--json", "forwards") == document)
        #expect(try ctl("forwards", "--json") == document)
    }

    @Test func `a forward's name cannot act on a terminal`() throws {
        let name = "a\u{202e}b\u{9b}c\u{200b}d\u{1b}[2J"
        let path = folder.file(name)
        #expect(try ctl("expose", path, "tcp://192.168.127.2:7").isEmpty)
        let row = try ctl("forwards").split(separator: "\n").last ?? ""
        #expect(row.contains(#"/a\u202eb\u009bc\u200bd\x1b[2J  tcp://"#), "\(row)")
        let document = try ctl("--json", "forwards")
        #expect(document.contains(#"/a\u202eb\u009bc\u200bd\u001b[2J""#), "\(document)")
        #expect(try failure("unexpose", name) == "rdnet ctl: proxy not found\n")
        #expect(try ctl("unexpose", path).isEmpty)
        let text = try String(contentsOfFile: world.directory.file("host.log"), encoding: .utf8)
        for character in ["\u{202e}", "\u{9b}", "\u{200b}", "\u{1b}"] {
            #expect(!text.contains(character))
        }
    }

    // MARK: Guests

    @Test func `leases, links and the capture are told`() throws {
        // An IPv6 address without a DHCPv6 lease is known once the guest uses it.
        try world.guest.run("ping", "-6", "-c", "1", "-W", "60", "fdc0:a87f::1")
        let leases = try ctl("leases").split(separator: "\n").map { $0.split(separator: " ") }
        try #require(leases.count == 3)
        #expect(leases[0] == ["ADDRESS", "MAC", "NAME", "EXPIRES"])
        #expect(leases[1][..<2] == ["192.168.127.2", "5a:94:ef:e4:0c:ee"])
        #expect(leases[1].last == "min")
        #expect(leases[2][..<2] == ["fdc0:a87f::2", "5a:94:ef:e4:0c:ee"])
        #expect(try ctl("leases", "--json") == world.askAPI("/leases"))

        let links = try ctl("links").split(separator: "\n").map { $0.split(separator: " ") }
        try #require(links.count == 2)
        #expect(links[0].joined(separator: " ").hasPrefix("ID NAME FORMAT AGE IDLE IN OUT QUEUED"))
        #expect(links[1][..<3] == ["0", "unix://\(world.directory.file("link"))", "extended"])
        let guest = ["0", "0", "5a:94:ef:e4:0c:ee", "192.168.127.2", "fdc0:a87f::2"]
        #expect(links[1].suffix(5).map { String($0) } == guest)
        #expect(try ctl("links", "--json").hasPrefix(#"[{"id":0,"name":"unix://"#))

        #expect(try ctl("capture") == "the capture is on; its file is /dev/null\n")
        #expect(try ctl("capture", "off") == "the capture is off; its file is /dev/null\n")
        #expect(
            try ctl("capture", "on", "--json").hasPrefix(#"{"on":true,"file":"/dev/null","#)
        )
    }

    @Test func `names are listed, and one more is answered`() throws {
        #expect(try ctl("names", "add", "web.docker.internal", "192.168.127.2").isEmpty)
        #expect(try ctl("names", "add", "a.b.example.test", "192.168.127.9").isEmpty)
        #expect(try ctl("names", "add", "c.b.example.test.", "192.168.127.8").isEmpty)
        let table = """
            ZONE                       NAME     ADDRESS
            rancher-desktop.internal.  gateway  192.168.127.1
            rancher-desktop.internal.  host     192.168.127.254
            docker.internal.           web      192.168.127.2
            docker.internal.           gateway  192.168.127.1
            docker.internal.           host     192.168.127.254
            containers.internal.       gateway  192.168.127.1
            containers.internal.       host     192.168.127.254
            b.example.test.            c        192.168.127.8
            b.example.test.            a        192.168.127.9

            """
        #expect(try ctl("names") == table)
        #expect(try ctl("names", "--json") == world.askAPI("/services/dns/all"))
        for (name, address) in [
            ("web.docker.internal", "192.168.127.2"), ("host.docker.internal", "192.168.127.254"),
            ("a.b.example.test", "192.168.127.9"), ("c.b.example.test", "192.168.127.8"),
        ] {
            let answer = try world.guest.run("dig", "+short", "@192.168.127.1", name)
            #expect(answer == address + "\n")
        }
    }

    // MARK: Traffic

    @Test func `flows and counters tell what a connection did`() throws {
        let columns = "KIND  GUEST  REMOTE  STATE  TO HOST  TO GUEST  AGE  IDLE\n"
        #expect(try ctl("flows") == columns)
        try world.serveEcho(7, in: world.guest)
        let tunnel = try CtlProgram(["tunnel", "192.168.127.2:7"], api: api)
        try tunnel.write(String(repeating: "x", count: 3_000))
        #expect(comesTrue { tunnel.output.count == 3_000 })

        let rows = try ctl("flows").split(separator: "\n").map { $0.split(separator: " ") }
        let row = try #require(rows.dropFirst().first)
        #expect(row[..<2] == ["tcp", "192.168.127.2:7"])
        #expect(row[2].hasPrefix("192.168.127.1:"))
        #expect(row[3..<8] == ["open", "3.0", "kB", "3.0", "kB"])
        let document = try ctl("flows", "--json")
        #expect(document.contains(#""guest":"192.168.127.2:7""#))
        #expect(document.contains(#""bytesToHost":3000,"bytesToGuest":3000"#))

        let counters = try ctl("stats").split(separator: "\n").map { $0.split(separator: " ") }
        #expect(counters.first == ["COUNTER", "VALUE"])
        #expect(counters.contains(["TCP.BytesToHost", "3.0", "kB"]))
        #expect(counters.contains(["TCP.Flows", "1"]))
        #expect(counters.last?.suffix(3) == ["more", "are", "0"])
        #expect(try ctl("stats", "--json").contains(#""TCP":{"BytesToGuest":3000,"#))
    }

    // MARK: Failures

    @Test(
        "what makes no sense is one sentence and status 2",
        arguments: [
            (
                [],
                "no command given; expected forwards, expose, unexpose, leases, names, dns, stats, "
                    + "flows, links, top, events, capture, doctor, log-level, tunnel or policy"
            ),
            (["forward"], "unknown command \"forward\"; did you mean forwards?"),
            (["expose", ":1"], "\"expose :1\" is not valid; expected expose LOCAL REMOTE"),
            (["leases", "x"], "\"leases x\" is not valid; expected leases"),
            (["capture", "yes"], "\"capture yes\" is not valid; expected capture [on|off|-]"),
            (["log-level", "x"], "\"log-level x\" is not valid; expected log-level [LEVEL]"),
            (["tunnel", "a:1"], "\"tunnel a:1\" is not valid; expected tunnel ADDRESS:PORT"),
            (
                ["names", "add", "single", "1.2.3.4"],
                "\"names add single 1.2.3.4\" is not valid; expected names [add NAME ADDRESS]"
            ),
            (
                ["leases", "--api", "x"],
                "--api: \"x\" is not valid; expected unix:///PATH, /PATH, tcp://ADDRESS:PORT, "
                    + "ADDRESS:PORT or vsock://[CID]:PORT, or empty"
            ),
        ] as [([String], String)]
    )
    func misuse(words: [String], sentence: String) throws {
        let program = try CtlProgram(words, api: api)
        #expect(try program.end() == 2)
        #expect(program.error == "rdnet ctl: \(sentence)\n")
        #expect(program.text.isEmpty)
    }

    @Test func `without an address it says what is needed, and where nobody answers whom it asked`()
        throws
    {
        let lost = try CtlProgram(["leases"], api: nil, runtime: folder.path)
        #expect(try lost.end() == 2)
        #expect(lost.error.contains("use --api ADDRESS or set RDNET_API"))
        #expect(
            try failure("leases", "--api", "unix:///nonexistent/api")
                == "rdnet ctl: unix:///nonexistent/api: No such file or directory; "
                + "expected the API of a host-switch or gvproxy there\n"
        )
        // The link of host-switch notices that this is no frame.
        let link = "unix://" + world.directory.file("link")
        #expect(
            try failure("leases", "--api", link)
                == "rdnet ctl: \(link): the connection ended before the answer\n"
        )
    }
}
