import Foundation
import Testing

@testable import RDNetKit

/// IPv6, and connections to the namespace's own loopback addresses.
extension PastaTests {
    /// Starts the program with a command that serves clients.
    private func start(_ arguments: [String], serving script: String) throws -> RunningProgram {
        let program = try RunningProgram(
            StartedRole.unblocking + [directory.file("pasta")] + arguments
                + ["--", "bash", "-c", script],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        programs.append(program)
        return program
    }

    /// Whether a client of the host reaches an echo server by an address and port.
    private func reaches(_ address: String, _ port: Int) throws -> Bool {
        try comesTrue {
            try host.run("bash", "-c", "\(client(address, port)) || :") == "hello"
        }
    }

    private func isRefused(_ address: String, _ port: Int) throws -> Bool {
        try host.run("bash", "-c", "\(client(address, port)) || echo refused").contains("refused")
    }

    @Test func `a command has the host's IPv6 address, and reaches the router and the host`()
        throws
    {
        try echo(in: host, at: "[::1]")
        try echo(in: router, at: "[2001:db8:2::1]")
        try echo(in: router, at: "[2001:db8:1::1]")
        let script = """
            ip -br address; ip -6 route
            echo far $(\(client("2001:db8:2::1"))) near $(\(client("2001:db8:1::1")))
            echo host $(\(client("fe80::99%up0")))
            ping -6 -c 1 -W 60 2001:db8:2::1
            dig +time=20 @fd00::53 localhost AAAA +short
            """
        let (status, output) = try pasta([
            "--config-net", "--dns-forward", "fd00::53", "-T", "none", "--", "bash", "-c", script,
        ])
        #expect(status == 0, "\(output)")
        for text in [
            "192.0.2.10/24 2001:db8:1::10/64", "default via fe80::99 dev up0",
            "far hello near hello", "host hello", " 0% packet loss", "\n::1\n",
        ] {
            #expect(output.contains(text), "\(output)")
        }
    }

    @Test func `curl downloads over IPv6`() throws {
        let octets = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }
        try Data(octets).write(to: URL(fileURLWithPath: directory.file("page")))
        programs.append(
            try RunningProgram(
                ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", directory.path],
                in: router
            )
        )
        try #require(try comesTrue { try router.run("ss", "-Hltn").contains(":80 ") })
        let (status, output) = try pasta([
            "--ipv6-only", "--config-net", "-T", "none", "--", "bash", "-c",
            """
            ip -br address; ip -4 route
            curl -6 -s -o \(directory.file("copy")) http://[2001:db8:2::1]/page
            """,
        ])
        #expect(status == 0 && !output.contains("192.0.2"), "\(output)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: directory.file("copy"))) == Data(octets))
    }

    @Test func `without --config-net, the kernel follows router advertisements`() throws {
        let script = """
            echo 0 >/proc/sys/net/ipv6/conf/up0/accept_dad
            ip link set up0 up
            until ip -6 route | grep -q 'default via fe80::99 dev up0 proto ra'; do sleep 0.1; done
            until ip -6 address show dev up0 | grep -q 'inet6 2001:db8:1:'; do sleep 0.1; done
            \(client("2001:db8:2::1"))
            """
        try echo(in: router, at: "[2001:db8:2::1]")
        let (status, output) = try pasta(["-T", "none", "--", "bash", "-c", script])
        #expect(status == 0 && output.contains("hello"), "\(output)")
    }

    @Test func `UDP reaches the family in which a server listens`() throws {
        _ = try start(
            ["--config-net", "-u", "8080:7", "-t", "none", "-T", "none", "-U", "none"],
            serving: "exec socat UDP6-LISTEN:7,bind=[2001:db8:1::10],fork EXEC:cat"
        )
        for address in ["UDP4:127.0.0.1", "UDP6:[::1]"] {
            let ask = "printf hello | socat -t 5 -T 5 - \(address):8080 || :"
            #expect(try comesTrue { try host.run("bash", "-c", ask) == "hello" })
        }
    }

    @Test func `a published port leads to the family on which a server listens`() throws {
        let server = "socat TCP6-LISTEN:7,bind=[2001:db8:1::10],fork EXEC:cat"
        _ = try start(
            [
                "--config-net", "-t", "8080:7", "-t", "[::1]/8081:7", "-u", "none", "-T", "none",
                "-U", "none",
            ],
            serving: server
        )
        #expect(try reaches("::1", 8080))
        #expect(try reaches("127.0.0.1", 8080))
        #expect(try reaches("2001:db8:1::10", 8080))
        #expect(try reaches("::1", 8081))
        #expect(try isRefused("127.0.0.1", 8081))
    }

    @Test func `with --host-lo-to-ns-lo, local clients reach servers on the namespace's loopback`()
        throws
    {
        let servers = """
            socat TCP4-LISTEN:7,bind=127.0.0.1,fork EXEC:cat &
            socat TCP6-LISTEN:7,bind=[::1],fork EXEC:cat &
            exec socat UDP4-LISTEN:7,bind=127.0.0.1,fork EXEC:cat
            """
        let program = try start(
            [
                "--config-net", "--host-lo-to-ns-lo", "-t", "8080:7", "-u", "8080:7", "-T", "none",
                "-U", "none",
            ],
            serving: servers
        )
        #expect(try reaches("127.0.0.1", 8080))
        #expect(try reaches("::1", 8080))
        #expect(try isRefused("192.0.2.10", 8080))
        let ask = "printf hello | socat -t 5 -T 5 - UDP4:127.0.0.1:8080 || :"
        #expect(try comesTrue { try host.run("bash", "-c", ask) == "hello" })
        let maker = try socketMaker(of: program)
        let status = try String(contentsOfFile: "/proc/\(maker)/status", encoding: .utf8)
        for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            #expect(status.contains(line), "\(status)")
        }
        program.end(with: SIGKILL)
        #expect(comesTrue { hasEnded(maker) })
    }

    /// The process ID of a program's child in the namespace.
    private func socketMaker(of program: RunningProgram) throws -> Int32 {
        let text = try host.run("pgrep", "-P", "\(program.number)", "rdnet-sockets")
        return try #require(Int32(text.split(separator: "\n").first ?? ""))
    }

    @Test func `--host-lo-to-ns-lo works in the namespace of a user's process`() throws {
        let guest = try NetworkNamespace()
        try guest.run("ip", "link", "set", "lo", "up")
        try echo(in: guest, at: "127.0.0.1")
        let (status, output) = try pasta([
            "--config-net", "--host-lo-to-ns-lo", "-q", "-t", "8080:7", "-u", "none", "-T", "none",
            "-U", "none", "--pid", directory.file("pid"), "--netns", guest.name,
        ])
        #expect(status == 0 && output.isEmpty, "\(output)")
        #expect(try reaches("127.0.0.1", 8080))
        #expect(try isRefused("192.0.2.10", 8080))
    }
}
