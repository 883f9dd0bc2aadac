import Foundation
import Glibc
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

    @Test func `QEMU over a stream and over datagrams`() throws {
        let network = try GuestNetwork(modules: Self.virtio)
        var first = try network.startStreamGuest(mac: .standardGuest)
        let second = try network.startDatagramGuest(mac: Self.otherMAC)
        try first.use("eth0", in: network)
        try second.use("eth0", in: network)
        #expect(try first.address("eth0").contains("192.168.127.2/24"))
        #expect(try second.address("eth0").contains("192.168.127.3/24"))
        try first.fetch(from: second, "192.168.127.3")
        try second.fetch(from: first, "192.168.127.2")

        first.kill()
        first = try network.startStreamGuest(mac: .standardGuest)
        try first.join("eth0")
        #expect(try first.address("eth0").contains("192.168.127.2/24"))
        try first.run("ping -c 1 -W 5 192.168.127.3")
    }

    @Test func `QEMU over vhost-user, with offloads and without`() throws {
        let network = try GuestNetwork(modules: Self.virtio)
        // A chain of 18 descriptors for each frame, so the ring has only 14.
        let first = try network.startVhostGuest(
            mac: .standardGuest,
            options: ",mrg_rxbuf=off,indirect_desc=off"
        )
        let plain = [
            "csum", "gso", "host_tso4", "host_tso6", "guest_csum", "guest_tso4", "guest_tso6",
            "mrg_rxbuf", "event_idx",
        ]
        let second = try network.startVhostGuest(
            mac: Self.otherMAC,
            options: plain.map { ",\($0)=off" }.joined()
        )
        try first.use("eth0", in: network)
        try second.use("eth0", in: network)
        #expect(try first.address("eth0").contains("192.168.127.2/24"))
        try first.fetch(from: second, "192.168.127.3")
        try second.fetch(from: first, "192.168.127.2")
    }

    @Test func `QEMU over vhost-user, whose host end is killed and started again`() throws {
        let network = try GuestNetwork(modules: Self.virtio)
        let guest = try network.startVhostGuest(mac: .standardGuest)
        try guest.use("eth0", in: network)
        // Frames are under way when the program dies.
        try guest.run("wget -q -O /dev/null http://192.168.127.254/file & true")
        network.program?.end(with: SIGKILL)
        try network.start()
        try guest.run("until ping -c 1 -W 1 192.168.127.254; do :; done")
        let file = "wget -q -O - http://192.168.127.254/file"
        #expect(try guest.run("\(file) | sha256sum").hasPrefix(network.checksum))
    }

    @Test func `QEMU over datagrams, ended and started again at the same address`() throws {
        let network = try GuestNetwork(modules: Self.virtio)
        for _ in 0..<2 {
            let guest = try network.startDatagramGuest(mac: .standardGuest)
            try guest.join("eth0")
            #expect(try guest.address("eth0").contains("192.168.127.2/24"))
            try guest.run("ping -c 1 -W 5 192.168.127.254")
            guest.kill()
            // QEMU leaves its socket's file behind, and refuses to start while it exists.
            try FileManager.default.removeItem(atPath: network.directory.file("guest"))
        }
    }

    @Test func `QEMU, whose kernel forms the guest's only address from router advertisements`()
        throws
    {
        let network = try GuestNetwork(modules: Self.virtio)
        let guest = try network.startStreamGuest(mac: .standardGuest)
        try guest.waitUntilReady()
        try guest.run("ip link set eth0 up")
        let addresses = "ip -6 -o address show dev eth0 scope global"
        // Duplicate address detection takes a second.
        try guest.run("until \(addresses) | grep -v tentative | grep inet6; do sleep 0.2; done")
        let formed = try guest.run(addresses)
        #expect(formed.contains("fdc0:a87f::5894:efff:fee4:cee/64"), "\(formed)")
        for address in ["fdc0:a87f::1", "fdc0:a87f::fe"] {
            try guest.run("ping -6 -c 1 -W 5 \(address)")
        }
        let names = try guest.run("nslookup host.docker.internal fdc0:a87f::1")
        #expect(names.contains("fdc0:a87f::fe"), "\(names)")
        let file = "wget -q -O - http://[fdc0:a87f::fe]/file"
        #expect(try guest.run("\(file) | sha256sum").hasPrefix(network.checksum))
    }

    @Test func `QEMU, whose kernel ignores router advertisements, uses IPv4`() throws {
        let network = try GuestNetwork(modules: Self.virtio)
        let guest = try network.startStreamGuest(mac: .standardGuest)
        try guest.waitUntilReady()
        try guest.run("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra")
        try guest.requestAddress("eth0")
        let names = try guest.run("nslookup host.docker.internal")
        #expect(names.contains("fdc0:a87f::fe"), "\(names)")
        let file = "wget -q -O - http://host.docker.internal/file"
        #expect(try guest.run("\(file) | sha256sum").hasPrefix(network.checksum))
        let addresses = try guest.run("ip -6 -o address show dev eth0")
        #expect(!addresses.contains("fdc0"), "\(addresses)")
    }

    @Test func `User Mode Linux over packets`() throws {
        let network = try GuestNetwork(modules: [])
        var first = try network.startPacketGuest(mac: .standardGuest)
        let second = try network.startPacketGuest(mac: Self.otherMAC)
        try first.use("vec0", in: network)
        try second.use("vec0", in: network)
        try first.fetch(from: second, "192.168.127.3")
        try second.fetch(from: first, "192.168.127.2")

        first.kill()
        first = try network.startPacketGuest(mac: .standardGuest)
        try first.join("vec0")
        #expect(try first.address("vec0").contains("192.168.127.2/24"))
        try first.run("ping -c 1 -W 5 192.168.127.3")
    }
}
