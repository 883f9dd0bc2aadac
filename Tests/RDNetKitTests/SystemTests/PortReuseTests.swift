import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "ports of a guest",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct PortReuseTests {
    private static let ports = 100
    private static let connections = 270
    /// Less than the minute for which a kernel keeps a port in TIME-WAIT.
    private static let patience = Duration.seconds(45)

    /// Limits a namespace to few ports, which it may reuse after a second.
    private func limitPorts(_ guest: NetworkNamespace) throws {
        try guest.run(
            "sysctl",
            "-qw",
            "net.ipv4.tcp_tw_reuse=1",
            "net.ipv4.ip_local_port_range=40000 \(40_000 + Self.ports - 1)"
        )
    }

    /// Connects repeatedly and closes first, so that the port enters TIME-WAIT on this side.
    ///
    /// Returns the number of successes.
    private func connect(to server: Endpoint, from guest: NetworkNamespace) throws -> Int {
        try guest.enter {
            let clock = ContinuousClock()
            let deadline = clock.now + Self.patience
            var count = 0
            while count < Self.connections, clock.now < deadline {
                let socket = try Socket.makeBlocking()
                do {
                    _ = try Socket.connect(socket, to: SocketAddress(server))
                } catch let error as SystemError where error.errno == EADDRNOTAVAIL {
                    // Every port is in TIME-WAIT: the oldest is reused soon, or not at all.
                    usleep(20_000)
                    continue
                }
                Socket.shutDownSending(socket)
                var octet = [UInt8](repeating: 0, count: 1)
                _ = try systemCall("recv") { recv(socket.number, &octet, 1, 0) }
                count += 1
            }
            return count
        }
    }

    @Test func `are used again while they are in TIME-WAIT, as over a veth pair`() throws {
        let scene = try UpGuest()
        scene.servers.append(try RunningProgram([BuiltProgram.load, "echo", "7"], in: scene.host))
        #expect(try comesTrue { try scene.host.run("ss", "-Htln").contains(":7") })
        try limitPorts(scene.guest)
        let alias = Endpoint(address: IPAddress(ipv4: 0xc0a8_7ffe), port: 7)
        let count = try connect(to: alias, from: scene.guest)
        #expect(count == Self.connections)

        let (host, guest) = (try NetworkNamespace(), try NetworkNamespace())
        try host.run("ip", "link", "add", "veth0", "type", "veth", "peer", "veth1")
        try host.run("ip", "link", "set", "veth1", "netns", guest.name)
        try host.run("ip", "address", "add", "10.1.1.1/24", "dev", "veth0")
        try guest.run("ip", "address", "add", "10.1.1.2/24", "dev", "veth1")
        try host.run("ip", "link", "set", "veth0", "up")
        try guest.run("ip", "link", "set", "veth1", "up")
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: host)
        #expect(try comesTrue { try host.run("ss", "-Htln").contains(":7") })
        try limitPorts(guest)
        let other = Endpoint(address: IPAddress(ipv4: 0x0a01_0101), port: 7)
        let otherCount = try connect(to: other, from: guest)
        #expect(otherCount == Self.connections)
        #expect(server.isRunning)
    }
}

extension Socket {
    /// Returns a blocking TCP socket.
    fileprivate static func makeBlocking() throws -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("socket") {
                socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            }
        )
    }
}
