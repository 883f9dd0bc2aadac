import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "guests with kernels of their own",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GuestMachineTests {
    private static let virtio = ["virtio_pci", "virtio_net"]
    private static let otherMAC = MACAddress(rawValue: 0x5254_0012_3457)

    /// Waits for a guest, gets it an address, and tries all that a guest does.
    private func use(_ guest: GuestMachine, _ interface: String, in network: GuestNetwork) throws {
        try join(guest, interface)
        let names = try guest.run("nslookup host.docker.internal")
        #expect(names.contains("192.168.127.254"), "\(names)")
        for address in ["192.168.127.1", "192.168.127.254"] {
            try guest.run("ping -c 1 -W 5 \(address)")
        }
        let url = "http://192.168.127.254"
        try guest.run("wget -q -O /tmp/file \(url)/file")
        #expect(try guest.run("sha256sum /tmp/file").hasPrefix(network.checksum))
        // busybox sends texts only.
        let sum = try guest.run("base64 /tmp/file >/tmp/text; sha256sum </tmp/text")
        #expect(try guest.run("wget -q -O - --post-file=/tmp/text \(url)/cgi-bin/sum") == sum)
    }

    private func join(_ guest: GuestMachine, _ interface: String) throws {
        try guest.waitUntilReady()
        try guest.run("udhcpc -n -q -f -t 10 -T 1 -i \(interface) -s /etc/udhcpc.sh")
    }

    private func address(of guest: GuestMachine, _ interface: String) throws -> String {
        try guest.run("ip -o -4 address show \(interface)")
    }

    /// Has one guest fetch a file of the other's.
    private func fetch(_ guest: GuestMachine, from server: GuestMachine, _ address: String) throws {
        try server.run("dd if=/dev/urandom of=/tmp/own bs=1k count=500 2>/dev/null")
        let expected = try server.run("sha256sum </tmp/own; httpd -h /tmp")
        #expect(try guest.run("wget -q -O - http://\(address)/own | sha256sum") == expected)
    }

    @Test func `QEMU over a stream and over datagrams`() throws {
        let network = try GuestNetwork(modules: Self.virtio)
        var first = try network.startStreamGuest(mac: .standardGuest)
        let second = try network.startDatagramGuest(mac: Self.otherMAC)
        try use(first, "eth0", in: network)
        try use(second, "eth0", in: network)
        #expect(try address(of: first, "eth0").contains("192.168.127.2/24"))
        #expect(try address(of: second, "eth0").contains("192.168.127.3/24"))
        try fetch(first, from: second, "192.168.127.3")
        try fetch(second, from: first, "192.168.127.2")

        first.kill()
        first = try network.startStreamGuest(mac: .standardGuest)
        try join(first, "eth0")
        #expect(try address(of: first, "eth0").contains("192.168.127.2/24"))
        try first.run("ping -c 1 -W 5 192.168.127.3")
    }

    @Test func `QEMU over datagrams, ended and started again at the same address`() throws {
        let network = try GuestNetwork(modules: Self.virtio)
        for _ in 0..<2 {
            let guest = try network.startDatagramGuest(mac: .standardGuest)
            try join(guest, "eth0")
            #expect(try address(of: guest, "eth0").contains("192.168.127.2/24"))
            try guest.run("ping -c 1 -W 5 192.168.127.254")
            guest.kill()
            // QEMU leaves its socket's file behind, and wants none there.
            try FileManager.default.removeItem(atPath: network.directory.file("guest"))
        }
    }

    @Test func `User Mode Linux over packets`() throws {
        let network = try GuestNetwork(modules: [])
        var first = try network.startPacketGuest(mac: .standardGuest)
        let second = try network.startPacketGuest(mac: Self.otherMAC)
        try use(first, "vec0", in: network)
        try use(second, "vec0", in: network)
        try fetch(first, from: second, "192.168.127.3")
        try fetch(second, from: first, "192.168.127.2")

        first.kill()
        first = try network.startPacketGuest(mac: .standardGuest)
        try join(first, "vec0")
        #expect(try address(of: first, "vec0").contains("192.168.127.2/24"))
        try first.run("ping -c 1 -W 5 192.168.127.3")
    }
}
