import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "a guest whose device leaves checksums and segments unfinished, without a header",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct HeaderlessGuestTests {
    private static let octets = "8000000"

    /// Exchanges data; the load program compares it at both ends and fails if they differ.
    private func exchange(
        _ scene: HeaderlessGuests,
        from client: NetworkNamespace,
        to server: String
    ) throws {
        for direction in ["bulk-up", "bulk-down"] {
            let result = try scene.load(
                direction,
                server,
                "9",
                "2",
                Self.octets,
                in: client
            )
            #expect(result["octets"] == 8_000_000, "\(direction): \(scene.log)")
        }
        let result = try scene.load("udp-clients", server, "7", "8", in: client)
        #expect(result["answered"] == 8, "\(scene.log)")
    }

    private func serve(_ scene: HeaderlessGuests, in namespace: NetworkNamespace) throws {
        try scene.serve(BuiltProgram.load, "bulk-server", "9", in: namespace)
        try scene.serve(BuiltProgram.load, "udp-echo", "7", in: namespace)
        try scene.waitForListener(9, in: namespace)
        try scene.waitForListener(7, in: namespace, kind: "-uln")
    }

    private func expectGoodChecksums(_ scene: HeaderlessGuests) throws {
        let drops = try #require(try scene.statistics()["Drops"] as? [String: Int])
        #expect(drops["bad_checksum"] == 0)
        #expect(drops["malformed"] == 0)
    }

    @Test(
        "exchanges every byte with the host by TCP and UDP",
        arguments: [HeaderlessGuests.Attachment.short, .qemu, .bess, .vfkit],
        [1_500, 65_520]
    )
    func host(_ attachment: HeaderlessGuests.Attachment, mtu: Int) throws {
        let scene = try HeaderlessGuests(attachment, attachment, mtu: mtu)
        try serve(scene, in: scene.host)
        try exchange(scene, from: scene.guest, to: SwitchedGuest.hostAlias)
        try expectGoodChecksums(scene)
    }

    @Test(
        "exchanges every byte with another guest by TCP and UDP",
        arguments: HeaderlessGuests.Attachment.allCases
    )
    func guests(_ second: HeaderlessGuests.Attachment) throws {
        let scene = try HeaderlessGuests(.vfkit, second)
        try serve(scene, in: scene.guest)
        try serve(scene, in: scene.other)
        try exchange(scene, from: scene.guest, to: scene.addresses.other)
        try exchange(scene, from: scene.other, to: scene.addresses.guest)
        try expectGoodChecksums(scene)
    }

    @Test(
        "exchanges every byte with another guest by TCP over IPv6",
        arguments: HeaderlessGuests.Attachment.allCases
    )
    func guestsOverIPv6(_ second: HeaderlessGuests.Attachment) throws {
        let scene = try HeaderlessGuests(.qemu, second)
        let file = scene.directory.file("file")
        try run("dd", "if=/dev/urandom", "of=\(file)", "bs=1M", "count=4")
        for (server, client, address) in [
            (scene.guest, scene.other, "fdc0::11"), (scene.other, scene.guest, "fdc0::12"),
        ] {
            try scene.serve("busybox", "httpd", "-f", "-h", scene.directory.path, in: server)
            try scene.waitForListener(80, in: server)
            let copy = scene.directory.file("copy")
            try client.run("curl", "-sSf", "-m", "60", "-o", copy, "http://[\(address)]/file")
            try run("cmp", file, copy)
        }
    }

    @Test func `is captured with finished checksums`() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("capture.pcap")
        let scene = try HeaderlessGuests(.vfkit, .bess, hostOptions: ["--capture", path])
        try serve(scene, in: scene.host)
        try exchange(scene, from: scene.guest, to: SwitchedGuest.hostAlias)
        scene.endHost()
        let checks = ["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
        let count = { (filter: String) in
            try run(["tshark", "-n", "-r", path] + checks + ["-Y", filter])
                .split(separator: "\n").count { $0.contains("→") }
        }
        #expect(try count("tcp.checksum.status == 1 && ip.src == 192.168.127.11") > 0)
        #expect(try count("udp.checksum.status == 1 && ip.src == 192.168.127.11") > 0)
        #expect(try count("tcp.checksum.status == 0 || udp.checksum.status == 0") == 0)
    }
}
