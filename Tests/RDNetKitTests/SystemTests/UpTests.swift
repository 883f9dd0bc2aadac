import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("up", .serialized, .enabled(if: canMakeNamespaces, "needs root to make network namespaces"))
struct UpTests {
    /// Runs `rdnet up` in a namespace that represents the machine; returns its status and output.
    private func up(_ arguments: String..., in host: NetworkNamespace) throws -> (Int32, String) {
        try up(arguments, in: host)
    }

    private func up(_ arguments: [String], in host: NetworkNamespace) throws -> (Int32, String) {
        let directory = TemporaryDirectory()
        let output = URL(fileURLWithPath: directory.file("output"))
        let program = try RunningProgram(
            ["timeout", "120", BuiltProgram.rdnet, "up"] + arguments,
            in: host,
            output: output
        )
        try program.closeInput()
        #expect(comesTrue { !program.isRunning })
        return (program.status, try String(contentsOf: output, encoding: .utf8))
    }

    private func makeHost() throws -> NetworkNamespace {
        let host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        return host
    }

    @Test("returns the command's status", arguments: [0, 7, 255])
    func returnsTheStatus(status: Int32) throws {
        let host = try makeHost()
        #expect(try up("--", "/bin/sh", "-c", "exit \(status)", in: host).0 == status)
    }

    @Test func `the command has one network, and it leads to the host's 127.0.0.1`() throws {
        let host = try makeHost()
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: host)
        #expect(try comesTrue { try host.run("ss", "-Htln").contains(":7") })
        let script = "ip -o -4 address; exec \(BuiltProgram.load) rr 192.168.127.254 7 0.1"
        let (status, output) = try up("--", "/bin/sh", "-c", script, in: host)
        #expect(status == 0, "\(output)")
        #expect(output.contains("inet 192.168.127.2/24"))
        #expect(output.contains(#"{"count": "#))
        #expect(server.isRunning)
    }

    @Test func `without a command and a terminal it reports, and all is well`() throws {
        let host = try makeHost()
        let (status, output) = try up(in: host)
        #expect(status == 0, "\(output)")
    }

    @Test func `with --no-host-loopback the host's 127.0.0.1 refuses, and the gateway answers`()
        throws
    {
        let host = try makeHost()
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: host)
        #expect(try comesTrue { try host.run("ss", "-Htln").contains(":7") })
        let script = """
            nc -z -w 5 192.168.127.254 7; echo host=$?
            nc -z -w 5 192.168.127.1 80; echo gateway=$?
            """
        let (status, output) = try up(
            "--no-host-loopback",
            "--",
            "/bin/sh",
            "-c",
            script,
            in: host
        )
        #expect(status == 0 && output == "host=1\ngateway=0\n", "\(output)")
        #expect(server.isRunning)
        #expect(try up("--no-host-loopback", in: host).0 == 2)
    }

    @Test func `with --keep-uid the command is the user who starts it`() throws {
        let host = try makeHost()
        let identity = "id -u; id -g; ip -o -4 address show eth0"
        for (options, user) in [([], "0"), (["--keep-uid"], OrdinaryUser.number)] {
            let directory = TemporaryDirectory()
            let output = URL(fileURLWithPath: directory.file("output"))
            let program = try RunningProgram(
                try OrdinaryUser(directory).prefix + [BuiltProgram.rdnet, "up"] + options + [
                    "--", "sh", "-c", identity,
                ],
                in: host,
                output: output
            )
            #expect(comesTrue(within: .seconds(60)) { !program.isRunning })
            let text = try String(contentsOf: output, encoding: .utf8)
            #expect(text.hasPrefix("\(user)\n\(user)\n"), "\(text)")
            #expect(text.contains("inet 192.168.127.2/24"), "\(text)")
        }
    }

    /// Creates a host with a network that overlaps the usual virtual one.
    private func makeCrowdedHost() throws -> NetworkNamespace {
        let host = try makeHost()
        try host.run("ip", "link", "add", "office", "type", "veth", "peer", "name", "wall")
        try host.run("ip", "address", "add", "192.168.0.9/16", "dev", "office")
        for link in ["office", "wall"] { try host.run("ip", "link", "set", link, "up") }
        return host
    }

    @Test func `takes another subnet where the host has a route to the usual one, and says so`()
        throws
    {
        let (status, output) = try up(
            "--",
            "/bin/sh",
            "-c",
            "ip -o -4 address show eth0",
            in: try makeCrowdedHost()
        )
        #expect(status == 0)
        #expect(output.contains("inet 172.31.127.2/24"), "\(output)")
        #expect(output.contains("subnet=172.31.127.0/24 route=192.168.0.0/16"), "\(output)")
    }

    @Test(
        "keeps a subnet that somebody chose, and warns",
        arguments: [
            ["--subnet", "192.168.127.0/24"], ["--port-forward", "8080=192.168.127.2:80"],
        ]
    )
    func keepsTheSubnet(options: [String]) throws {
        let (status, output) = try up(
            options + ["--", "/bin/sh", "-c", "ip -o -4 address show eth0"],
            in: try makeCrowdedHost()
        )
        #expect(status == 0)
        #expect(output.contains("inet 192.168.127.2/24"), "\(output)")
        #expect(output.contains("subnet hides a host network"), "\(output)")
    }

    @Test func `leaves no interface behind`() throws {
        let host = try makeHost()
        let before = try host.run("ip", "-o", "link")
        _ = try up("--", "/bin/true", in: host)
        #expect(try host.run("ip", "-o", "link") == before)
    }
}
