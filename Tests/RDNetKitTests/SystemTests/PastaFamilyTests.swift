import Foundation
import Testing

@testable import RDNetKit

/// IPv6, and connections to the namespace's own loopback addresses.
extension PastaTests {
    /// A namespace that the program connects.
    private func connected(_ arguments: [String]) throws -> (NetworkNamespace, RunningProgram) {
        let guest = try NetworkNamespace()
        try guest.run("ip", "link", "set", "lo", "up")
        let program = try RunningProgram(
            [directory.file("pasta"), "-f", "--config-net"] + arguments
                + ["--netns", guest.name],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        programs.append(program)
        try #require(
            try comesTrue { try guest.run("ip", "address").contains("2001:db8:1::10/64") },
            "\(directory.text(of: "log"))"
        )
        return (guest, program)
    }

    /// Starts an echo server on UDP port 7.
    private func echoUDP(in namespace: NetworkNamespace, at address: String) throws {
        let family = address.hasPrefix("[") ? 6 : 4
        // Without its children's signals, socat receives one datagram only.
        programs.append(
            try RunningProgram(
                [
                    "socat", "UDP\(family)-RECVFROM:7,bind=\(address),fork", "EXEC:cat",
                ],
                in: namespace
            )
        )
        try #require(
            try comesTrue { try namespace.run("ss", "-Hlun").contains("\(address):7 ") }
        )
    }

    /// Whether a client in a namespace reaches an echo server by an address and port.
    private func reaches(
        _ address: String,
        _ port: Int,
        in namespace: NetworkNamespace? = nil
    ) throws -> Bool {
        try comesTrue {
            try (namespace ?? host).run("bash", "-c", "\(client(address, port)) || :") == "hello"
        }
    }

    private func isRefused(_ address: String, _ port: Int) throws -> Bool {
        try host.run("bash", "-c", "\(client(address, port)) || :").isEmpty
    }

    /// Whether a client of the host reaches an echo server on UDP port 8080 of an address.
    private func reachesUDP(_ address: String) throws -> Bool {
        let ask = "printf hello | socat -t 5 -T 5 - \(address):8080 || :"
        return try comesTrue { try host.run("bash", "-c", ask) == "hello" }
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

    @Test func `a published port leads to the family on which a server listens`() throws {
        let (guest, _) = try connected([
            "-t", "8080:7", "-t", "[::1]/8081:7", "-u", "8080:7", "-T", "none", "-U", "none",
        ])
        try echo(in: guest, at: "[2001:db8:1::10]")
        try echoUDP(in: guest, at: "[2001:db8:1::10]")
        #expect(try reaches("::1", 8080))
        #expect(try reaches("127.0.0.1", 8080))
        #expect(try reaches("2001:db8:1::10", 8080, in: router))
        #expect(try reaches("::1", 8081))
        #expect(try isRefused("127.0.0.1", 8081))
        #expect(try reachesUDP("UDP4:127.0.0.1"))
        #expect(try reachesUDP("UDP6:[::1]"))
    }

    @Test func `with --host-lo-to-ns-lo, local clients reach servers on the namespace's loopback`()
        throws
    {
        let (guest, program) = try connected([
            "--host-lo-to-ns-lo", "-t", "8080:7", "-u", "8080:7", "-T", "none", "-U", "none",
        ])
        try echo(in: guest, at: "127.0.0.1")
        try echo(in: guest, at: "[::1]")
        try echoUDP(in: guest, at: "127.0.0.1")
        #expect(try reaches("127.0.0.1", 8080))
        #expect(try reaches("::1", 8080))
        #expect(try reachesUDP("UDP4:127.0.0.1"))
        #expect(try isRefused("192.0.2.10", 8080))
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

    @Test func `--host-lo-to-ns-lo works for a user's command`() throws {
        let user = try OrdinaryUser(directory)
        let script = """
            socat TCP4-LISTEN:7,bind=127.0.0.1 EXEC:cat &
            until [ -e \(user.home)/done ]; do sleep 0.1; done
            """
        let program = try RunningProgram(
            user.prefix + [
                directory.file("pasta"), "--host-lo-to-ns-lo", "--config-net", "-t", "8080:7", "-u",
                "none", "-T", "none", "-U", "none", "--", "bash", "-c", script,
            ],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        programs.append(program)
        #expect(try reaches("127.0.0.1", 8080), "\(directory.text(of: "log"))")
        try Data().write(to: URL(fileURLWithPath: user.home + "/done"))
        #expect(comesTrue { !program.isRunning } && program.status == 0)
    }

    @Test func `a port that the host opens later is open on the namespace's loopback meanwhile`()
        throws
    {
        let (guest, _) = try connected(["-t", "auto", "-u", "none", "-U", "none"])
        #expect(throws: (any Error).self) { try guest.run("nc", "-z", "127.0.0.1", "7") }
        try echo(in: host, at: "127.0.0.1")
        #expect(try reaches("127.0.0.1", 7, in: guest))
        #expect(try reaches("::1", 7, in: guest))
        programs.last?.end(with: SIGKILL)
        #expect(try comesTrue { try guest.run("ss", "-Hltn").isEmpty })
    }
}
