import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "a guest that lost its connections",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ReturningGuestTests {
    private static let connections = 50

    /// Starts a server at the host's port 9 that only receives.
    private func serveSink(in scene: SwitchedGuest) throws {
        let listener = "TCP-LISTEN:9,fork,reuseaddr,backlog=\(Self.connections)"
        try scene.serve("socat", "-u", listener, "OPEN:/dev/null", in: scene.host)
        try scene.waitForListener(9, in: scene.host)
    }

    /// Opens connections to the host's port 9 and makes the guest's kernel forget them silently.
    ///
    /// A reboot has the same effect. Every connection sends an octet before, and once that is
    /// acknowledged the gateway waits for nothing from the guest: nothing it repeats can end a
    /// connection early.
    private func forgetConnections(in scene: SwitchedGuest) throws {
        let server = Endpoint(address: IPAddress(ipv4: 0xc0a8_7ffe), port: 9)
        try scene.guest.enter {
            for _ in 0..<Self.connections {
                let client = OwnedDescriptor(
                    adopting: try systemCall("socket") {
                        socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                    }
                )
                _ = try Socket.connect(client, to: SocketAddress(server))
                try [1].withUnsafeBytes { _ = try Socket.send(client, $0) }
                var waiting: Int32 = 1
                let isAcknowledged = comesTrue {
                    ioctl(client.number, UInt(TIOCOUTQ), &waiting) == 0 && waiting == 0
                }
                try #require(isAcknowledged)
                // The kernel closes a socket in repair mode without a segment (tcp(7)).
                try Socket.set(client, Int32(IPPROTO_TCP), TCP_REPAIR, to: 1)
            }
        }
    }

    /// Returns the number of connections at the host's server.
    private func served(by scene: SwitchedGuest) throws -> Int {
        try scene.host.run("ss", "-Htn", "state", "established", "sport", "=", ":9")
            .split(separator: "\n").count
    }

    @Test func `is probed when its link returns, and the host's connections end`() throws {
        let scene = try SwitchedGuest()
        try serveSink(in: scene)
        try scene.serveEcho(7, in: scene.host)
        try forgetConnections(in: scene)
        #expect(try comesTrue { try served(by: scene) == Self.connections })
        scene.vmSwitch?.end(with: SIGKILL)
        try scene.startVMSwitch()
        try scene.waitForAddress()
        // The probes are sent after 0, 1, 3 and 7 seconds.
        #expect(try comesTrue(within: .seconds(60)) { try served(by: scene) == 0 })
        #expect(scene.reachesHost())
    }

    @Test func `is probed when it sends DHCPDISCOVER`() throws {
        let scene = try SwitchedGuest()
        try serveSink(in: scene)
        try scene.serveEcho(7, in: scene.host)
        try forgetConnections(in: scene)
        #expect(try comesTrue { try served(by: scene) == Self.connections })
        let tap = try scene.guest.run("ls", "/sys/class/net").split(separator: "\n").map { "\($0)" }
        let name = try #require(tap.first { $0 != "lo" })
        try scene.guest.run("busybox", "udhcpc", "-i", name, "-n", "-q", "-s", "/bin/true")
        #expect(try comesTrue(within: .seconds(60)) { try served(by: scene) == 0 })
        #expect(scene.reachesHost())
    }
}
