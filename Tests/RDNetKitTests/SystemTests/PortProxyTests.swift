import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `port-proxy` as dockerd sees it, without dockerd.
@Suite(
    "port-proxy publishes a port",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct PortProxyTests {
    private let host: NetworkNamespace

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
    }

    private static func words(
        _ transport: String = "tcp",
        at address: String = "127.0.0.1",
        to container: String = "127.0.0.9"
    ) -> [String] {
        [
            "-proto", transport, "-host-ip", address, "-host-port", "8080",
            "-container-ip", container, "-container-port", "7",
        ]
    }

    /// Starts an echo server at the container's port.
    private func startContainer(_ command: String = "echo") throws -> RunningProgram {
        let server = try RunningProgram([BuiltProgram.load, command, "7"], in: host)
        let list = command == "echo" ? "-Hltn" : "-Hlun"
        try #require(try comesTrue { try host.run("ss", list).contains(":7 ") })
        return server
    }

    private func shared() throws -> [Int32] {
        try run(["ip", "netns", "pids", host.name]).split(separator: "\n").compactMap { line in
            let command = FileManager.default.contents(atPath: "/proc/\(line)/cmdline") ?? Data()
            let isShared = String(decoding: command, as: UTF8.self).hasSuffix("--serve\0")
            return isShared ? Int32(line) : nil
        }
    }

    private func exchange(_ address: String = "127.0.0.1") -> String? {
        let command = "printf hello | timeout 60 nc -N \(address) 8080"
        do {
            return try host.run("bash", "-c", command)
        } catch {
            return nil
        }
    }

    @Test(
        "under each of its names, it serves until SIGINT",
        arguments: [
            "port-proxy", "docker-proxy", "slirp-proxy",
        ]
    )
    func serves(name: String) throws {
        let server = try startContainer()
        let port = try PublishedPort(Self.words(), as: name, in: host)
        try port.expectOpen()
        #expect(exchange() == "hello")
        #expect(port.program.end(with: SIGINT))
        #expect(port.program.status == 0)
        #expect(try comesTrue { try shared().isEmpty })
        #expect(exchange() == nil)
        server.end(with: SIGKILL)
    }

    @Test func `one process serves all ports, and one whose stub is killed closes`() throws {
        let server = try startContainer()
        let first = try PublishedPort(Self.words(), in: host)
        try first.expectOpen()
        let second = try PublishedPort(Self.words(at: "127.0.0.2"), in: host)
        try second.expectOpen()
        #expect(try shared().count == 1)
        let client = try RunningProgram(["nc", "127.0.0.1", "8080"], in: host)
        try #require(try comesTrue { try host.run("ss", "-Htn").contains("127.0.0.1:8080") })
        kill(first.program.number, SIGKILL)
        #expect(
            try comesTrue {
                try !host.run("ss", "-Htn", "state", "established").contains("127.0.0.1:8080")
            }
        )
        client.end(with: SIGKILL)
        #expect(exchange() == nil)
        #expect(exchange("127.0.0.2") == "hello")
        server.end(with: SIGKILL)
    }

    @Test func `what a client on this machine gets is not paced`() throws {
        let server = try startContainer()
        let port = try PublishedPort(Self.words(), in: host)
        try port.expectOpen()
        let client = try RunningProgram(["nc", "127.0.0.1", "8080"], in: host)
        let filter = ["-Htin", "state", "established", "sport", "=", ":8080"]
        #expect(
            try comesTrue {
                try run(["ip", "netns", "exec", host.name, "ss"] + filter).contains(" reno ")
            }
        )
        for program in [client, server] { program.end(with: SIGKILL) }
    }

    @Test func `no client is refused while the shared process is replaced`() throws {
        let server = try startContainer()
        let port = try PublishedPort(Self.words(), in: host)
        try port.expectOpen()
        for _ in 1...3 {
            let former = try #require(try shared().first)
            kill(former, SIGKILL)
            #expect(exchange() == "hello")
            #expect(try shared() != [former])
        }
        #expect(port.program.end(with: SIGTERM))
        #expect(port.program.status == 0)
        server.end(with: SIGKILL)
    }

    @Test func `where another user has taken the name, a stub serves its port itself`() throws {
        let server = try startContainer()
        let squatter = try RunningProgram(
            [
                "setpriv", "--reuid", "65534", "perl", "-MIO::Socket", "-e",
                """
                socket(S, AF_UNIX, SOCK_SEQPACKET, 0);
                bind(S, pack('S a*', AF_UNIX, "\\0rdnet-port-proxy-1-0")) or die;
                listen(S, 9); $| = 1; while (accept(C, S)) { sysread(C, $x, 99) }
                """,
            ],
            in: host
        )
        try #require(try comesTrue { try host.run("ss", "-Hlx").contains("@rdnet-port-proxy") })
        let port = try PublishedPort(Self.words(), in: host)
        try port.expectOpen()
        #expect(exchange() == "hello")
        #expect(try shared().isEmpty)
        #expect(port.program.end(with: SIGINT))
        #expect(port.program.status == 0)
        squatter.end(with: SIGKILL)
        server.end(with: SIGKILL)
    }

    @Test func `it takes over the socket that dockerd has opened`() throws {
        let server = try startContainer()
        let listen = """
            *S = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 8080, Listen => 9) or die
            """
        let port = try PublishedPort(
            Self.words() + ["-use-listen-fd"],
            passing: listen,
            in: host
        )
        try port.expectOpen()
        #expect(exchange() == "hello")
        server.end(with: SIGKILL)
    }

    @Test(
        "another descriptor 4 is refused, and dockerd reads why",
        arguments: [
            ("open(S, '/dev/null')", "descriptor 4: Socket operation on non-socket"),
            (
                "*S = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 8080) or die",
                "descriptor 4: Protocol wrong type for socket"
            ),
        ]
    )
    func refuses(socket: String, reason: String) throws {
        let words = Self.words() + ["-use-listen-fd"]
        let port = try PublishedPort(words, passing: socket, in: host)
        #expect(comesTrue { !port.program.isRunning && !port.status.isEmpty })
        #expect(port.status.hasPrefix("1\n--use-listen-fd: \(reason); expected"))
        #expect(port.program.status == 1)
    }

    @Test func `a descriptor 3 that is open for reading only is no reason to crash`() throws {
        let script = "exec 3< <(:); exec \"$0\" port-proxy -proto sctp"
        let program = try RunningProgram(["bash", "-c", script, BuiltProgram.rdnet], in: host)
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 2)
    }

    @Test func `UDP answers come from the address that the client sent to`() throws {
        let server = try startContainer("udp-echo")
        let port = try PublishedPort(Self.words("udp", at: "0.0.0.0", to: "127.0.0.1"), in: host)
        try port.expectOpen()
        for address in ["127.0.0.1", "127.0.0.3"] {
            // A connected socket accepts answers of its peer only.
            let command = """
                exec 3<>/dev/udp/\(address)/8080; printf hello >&3; timeout 60 head -c 5 <&3
                """
            #expect(try host.run("bash", "-c", command) == "hello")
        }
        server.end(with: SIGKILL)
    }

    @Test func `a client over IPv6 reaches a container that has IPv4 only`() throws {
        let server = try startContainer()
        let first = try PublishedPort(Self.words(at: "::"), in: host)
        try first.expectOpen()
        #expect(exchange("::1") == "hello")
        #expect(exchange() == nil)
        let second = try PublishedPort(Self.words(at: "0.0.0.0"), in: host)
        try second.expectOpen()
        #expect(exchange() == "hello")
        server.end(with: SIGKILL)
    }

    @Test(
        "a usage error reaches dockerd too",
        arguments: [
            (["-proto", "sctp"], "--proto: \"sctp\" is not valid; expected tcp or udp"),
            (["-proto", "tcp"], "--host-ip: \"\" is not valid"),
        ]
    )
    func misuse(words: [String], reason: String) throws {
        let port = try PublishedPort(words, in: host)
        #expect(comesTrue { !port.program.isRunning && !port.status.isEmpty })
        #expect(port.status.hasPrefix("1\n\(reason)"), "\(port.status)")
        #expect(port.program.status == 2)
    }

    @Test func `a waiting stub keeps less than a megabyte`() throws {
        let port = try PublishedPort(Self.words(), in: host)
        try port.expectOpen()
        #expect(try comesTrue { try port.program.residentSize() < 1 << 20 })
        // It still wakes up, although it has returned almost all of its memory.
        #expect(port.program.end(with: SIGINT))
        #expect(port.program.status == 0)
    }
}
