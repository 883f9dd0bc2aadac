import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "gvproxy and guests with kernels of their own",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GVProxyGuestMachineTests {
    private static let otherMAC = MACAddress(rawValue: 0x5254_0012_3457)

    /// Runs a curl command from gvproxy's documentation.
    private func curl(_ command: String, in network: GuestNetwork) throws -> String {
        try run(
            "sh",
            "-c",
            command.replacingOccurrences(of: "/tmp", with: network.directory.path)
        )
    }

    /// Returns the checksum of `own`, fetched from a port of the host.
    private func fetch(_ port: Int, in network: GuestNetwork) throws -> String {
        try network.host.run(
            "sh",
            "-c",
            "curl -s --fail --max-time 20 http://127.0.0.1:\(port)/own | sha256sum"
        )
    }

    /// Exposes a port of the guest, fetches a file from it, and unexposes it.
    private func expose(_ guest: GuestMachine, in network: GuestNetwork) throws {
        let expected = try guest.serveOwnFile(port: 6_443)
        let api = "curl -s --unix-socket /tmp/network.sock http:/unix/services/forwarder"
        let made = try curl(
            api + #"/expose -X POST -d '{"local":":6443","remote":"192.168.127.2:6443"}'"#,
            in: network
        )
        #expect(made.isEmpty)
        #expect(try fetch(6_443, in: network) == expected)
        _ = try curl(api + #"/unexpose -X POST -d '{"local":":6443"}'"#, in: network)
        let listeners = try network.host.run("ss", "-Hltn")
        #expect(!listeners.contains(":6443"))
        #expect(try !curl(api + "/all", in: network).contains("6443"))

        // Exposes a port from inside the guest, where the gateway completes the address.
        let url = "http://192.168.127.1/services/forwarder"
        try guest.run(
            #"wget -q -O - --post-data '{"local":":6444","remote":":6443"}' \#(url)/expose"#
        )
        #expect(try fetch(6_444, in: network) == expected)
    }

    /// Waits until the host reads an SSH greeting from the guest at its port 2222.
    private func greet(_ guest: GuestMachine, in network: GuestNetwork) throws {
        try guest.run("(echo SSH-2.0-guest | nc -l -p 22) >/dev/null 2>&1 &")
        let hasCome = try comesTrue {
            try network.host.run("sh", "-c", "timeout 120 nc -N 127.0.0.1 2222 </dev/null || true")
                == "SSH-2.0-guest\n"
        }
        #expect(hasCome, "\(network.log)")
    }

    /// Measures TCP in both directions; any throughput above 1 Mbit/s passes.
    private func measure(_ guest: GuestMachine, in network: GuestNetwork) throws {
        let server = try RunningProgram(["iperf3", "-s"], in: network.host)
        let isThere = try comesTrue { try network.host.run("ss", "-Hltn").contains(":5201") }
        try #require(isThere)
        for direction in ["", "-R"] {
            let report = try guest.run("iperf3 -c 192.168.127.254 -t 2 -f m \(direction)")
            let received = try #require(
                report.split(separator: "\n").last { $0.contains("receiver") }
            )
            let words = received.split(separator: " ")
            let unit = try #require(words.firstIndex(of: "Mbits/sec"))
            #expect(try #require(Double(words[unit - 1])) > 1, "\(report)")
        }
        // A process that a test's thread starts has SIGTERM blocked.
        server.end(with: SIGKILL)
    }

    /// Waits until gvproxy exits after its last guest.
    private func waitForEnd(_ network: GuestNetwork) throws {
        let hasEnded = comesTrue { network.program?.isRunning == false }
        try #require(hasEnded, "\(network.log)")
        #expect(network.program?.status == 0)
        #expect(network.sockets.isEmpty)
        #expect(network.log.contains("gvproxy exiting: cannot receive packets from"))
    }

    @Test func `QEMU, with the very command line, and another guest by connect`() throws {
        let network = try GuestNetwork(
            modules: ["virtio_pci", "virtio_net"],
            files: try GuestImage.program("iperf3"),
            role: .gvproxy("-listen-qemu unix:///tmp/qemu.sock", "qemu.sock")
        )
        var guest = try network.startStreamGuest(mac: .standardGuest)
        try guest.use("eth0", in: network)
        #expect(try guest.address("eth0").contains("192.168.127.2/24"))
        try expose(guest, in: network)
        try greet(guest, in: network)
        try measure(guest, in: network)

        let namespace = try NetworkNamespace()
        let forwarder = try RunningProgram(
            [
                BuiltProgram.rdnet, "gvforwarder", "-url",
                "unix://" + network.directory.file("network.sock"), "-mac", "\(Self.otherMAC)",
                "-resolv-conf", "", "-logfile", network.directory.file("log-forwarder"),
            ],
            in: namespace
        )
        let hasAddress = try comesTrue {
            try namespace.run("ip", "-4", "address").contains("inet 192.168.127.3/24")
        }
        #expect(hasAddress, "\(network.log)")
        let sum = try guest.run("sha256sum </tmp/own")
        let other = ["http://192.168.127.2:6443/own", "http://192.168.127.3/file"]
        #expect(
            try namespace.run("sh", "-c", "curl -s --max-time 20 \(other[0]) | sha256sum") == sum
        )
        let web = ["busybox", "httpd", "-f", "-h", network.directory.file("www")]
        let server = try RunningProgram(web, in: namespace)
        let isServed = try comesTrue { try namespace.run("ss", "-Hltn").contains(":80 ") }
        try #require(isServed)
        #expect(
            try guest.run("wget -q -O - \(other[1]) | sha256sum").hasPrefix(network.checksum)
        )
        forwarder.end()
        server.end(with: SIGKILL)

        guest.kill()
        try waitForEnd(network)
        try network.start()
        guest = try network.startStreamGuest(mac: .standardGuest)
        try guest.join("eth0")
        #expect(try guest.address("eth0").contains("192.168.127.2/24"))
        try guest.run("ping -c 1 -W 5 192.168.127.254")
    }

    @Test func `User Mode Linux, with the very command line, and another of its kind`() throws {
        let network = try GuestNetwork(
            modules: [],
            role: .gvproxy("-listen-bess unixpacket:///tmp/bess.sock", "bess.sock")
        )
        var guest = try network.startPacketGuest(mac: .standardGuest)
        try guest.use("vec0", in: network)
        #expect(try guest.address("vec0").contains("192.168.127.2/24"))
        try expose(guest, in: network)
        try greet(guest, in: network)
        let second = try network.startPacketGuest(mac: Self.otherMAC)
        try second.join("vec0")
        try guest.fetch(from: second, "192.168.127.3")
        try second.fetch(from: guest, "192.168.127.2")

        guest.kill()
        try second.run("ping -c 1 -W 5 192.168.127.254")
        second.kill()
        try waitForEnd(network)
        try network.start()
        guest = try network.startPacketGuest(mac: .standardGuest)
        try guest.join("vec0")
        try guest.run("ping -c 1 -W 5 192.168.127.254")
    }
}
