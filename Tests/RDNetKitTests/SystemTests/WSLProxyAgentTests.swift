import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Agents and scripts that publish ports, as separate processes.
@Suite(
    "wsl-proxy's agents",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct WSLProxyAgentTests {
    private let world: ProxiedNamespaces

    init() throws {
        world = try ProxiedNamespaces()
    }

    /// Starts a program that sends each line of its input as a message, as a guest agent does.
    private func startAgent() throws -> RunningProgram {
        let script = """
            use IO::Socket::UNIX;
            while (my $line = <STDIN>) {
                my $socket = IO::Socket::UNIX->new('\(world.socket)') or die;
                print $socket $line;
            }
            """
        return try RunningProgram(["perl", "-e", script])
    }

    private func message(
        _ verb: String,
        _ port: Int,
        at addresses: String...
    ) -> String {
        let bindings = addresses.map { #"{"HostIp":"\#($0)","HostPort":"\#(port)"}"# }
        return """
            {"remove":\(verb == "remove"),"ports":{"\(port)/tcp":[\(bindings.joined(separator: ","))]}}
            """
    }

    /// Sends a message, as a script does.
    private func send(_ text: String) throws {
        try run("sh", "-c", "echo '\(text)' | nc -N -U \(world.socket)")
    }

    private func listens(_ port: Int, at addresses: String...) throws -> Bool {
        try comesTrue { try world.listeners(port) == addresses }
    }

    @Test func `a port that nc added twice and removed once is closed`() throws {
        for _ in 0..<2 { try send(message("add", 8080, at: "0.0.0.0")) }
        #expect(try listens(8080, at: "*"))
        try send(message("remove", 8080, at: "0.0.0.0"))
        #expect(try listens(8080))
    }

    @Test func `a port of both families' wildcards, added twice and removed once, is closed`()
        throws
    {
        let agent = try startAgent()
        for _ in 0..<2 { try agent.write(line: message("add", 8080, at: "0.0.0.0", "::")) }
        #expect(try listens(8080, at: "*"))
        try agent.write(line: message("remove", 8080, at: "0.0.0.0", "::"))
        #expect(try listens(8080))
        try agent.write(line: message("add", 8080, at: "127.0.0.1", "::1"))
        #expect(try listens(8080, at: "127.0.0.1", "[::1]"))
        try agent.write(line: message("remove", 8080, at: "::1"))
        #expect(try listens(8080, at: "127.0.0.1"))
    }

    @Test func `a port of two running agents is closed when both have removed it`() throws {
        let (one, other) = (try startAgent(), try startAgent())
        try one.write(line: message("add", 8080, at: "127.0.0.1"))
        #expect(try listens(8080, at: "127.0.0.1"))
        try other.write(line: message("add", 8080, at: "127.0.0.1"))
        try other.write(line: message("add", 8081, at: "127.0.0.1"))
        #expect(try listens(8081, at: "127.0.0.1"))
        try one.write(line: message("remove", 8080, at: "127.0.0.1"))
        try one.write(line: message("add", 8082, at: "127.0.0.1"))
        #expect(try listens(8082, at: "127.0.0.1"))
        #expect(try listens(8080, at: "127.0.0.1"))
        try other.write(line: message("remove", 8080, at: "127.0.0.1"))
        #expect(try listens(8080))
    }

    @Test func `an agent that was killed and came back loses the ports that it does not add again`()
        throws
    {
        let killed = try startAgent()
        try killed.write(line: message("add", 8080, at: "0.0.0.0"))
        try killed.write(line: message("add", 9090, at: "0.0.0.0"))
        #expect(try listens(9090, at: "*"))
        killed.end(with: SIGKILL)
        // A script's port stays, and so does a killed agent's until the agent returns.
        try send(message("add", 7070, at: "0.0.0.0"))
        let agent = try startAgent()
        try agent.write(line: message("add", 9090, at: "0.0.0.0"))
        let isClosed = try comesTrue(within: .seconds(60)) { try world.listeners(8080).isEmpty }
        #expect(isClosed)
        #expect(try listens(9090, at: "*") && listens(7070, at: "*"))
        // The listener never closed, so no client was refused in between.
        #expect(!world.log.contains("withdrawn\" port=\"[::]:9090/tcp\""))
    }
}
