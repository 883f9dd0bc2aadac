import Foundation
import Testing

@testable import RDNetKit

/// `host-switch` with two guests in namespaces, each on its own link.
final class HeaderlessGuests: GuestScene {
    /// The way in which a guest is connected.
    enum Attachment: String, CaseIterable, Sendable {
        /// A device over this transport that leaves checksums and TCP segments unfinished.
        ///
        /// It has no header to say so.
        case short, qemu, bess, vfkit
        /// `vm-switch`, which negotiates offload headers.
        case extended

        fileprivate func link(at path: String) -> String {
            switch self {
            case .short, .extended: "unix://\(path)"
            case .qemu: "qemu+unix://\(path)"
            case .bess: "bess+unix://\(path)"
            case .vfkit: "vfkit+unixgram://\(path)"
            }
        }

        /// vm-switch leases the first address, which no other guest uses.
        fileprivate func address(of index: Int) -> String {
            self == .extended ? "192.168.127.2" : "192.168.127.1\(index + 1)"
        }
    }

    let host: NetworkNamespace
    /// The first guest, fdc0::11.
    let guest: NetworkNamespace
    /// The second guest, fdc0::12.
    let other: NetworkNamespace
    /// The guests' IPv4 addresses.
    let addresses: (guest: String, other: String)
    let directory = TemporaryDirectory()
    var servers: [RunningProgram] = []

    init(
        _ first: Attachment,
        _ second: Attachment,
        mtu: Int = 1_500,
        hostOptions: [String] = []
    ) throws {
        addresses = (first.address(of: 0), second.address(of: 1))
        (host, guest, other) = (
            try NetworkNamespace(), try NetworkNamespace(), try NetworkNamespace()
        )
        for namespace in [host, guest, other] {
            try namespace.run("ip", "link", "set", "lo", "up")
        }
        let links = [first, second].enumerated().flatMap { index, attachment in
            ["--link", attachment.link(at: directory.file("link\(index)"))]
        }
        let options = ["--api", "unix://\(directory.file("api"))", "--mtu", String(mtu)]
        try serve(
            [BuiltProgram.rdnet, "host-switch"] + links + options + hostOptions,
            in: host,
            log: "host"
        )
        let isThere = comesTrue { FileManager.default.fileExists(atPath: directory.file("api")) }
        try #require(isThere, "\(log)")
        try connect(first, 0, guest, mtu: mtu)
        try connect(second, 1, other, mtu: mtu)
    }

    private func connect(
        _ attachment: Attachment,
        _ index: Int,
        _ namespace: NetworkNamespace,
        mtu: Int
    ) throws {
        let path = directory.file("link\(index)")
        let command =
            attachment == .extended
            ? [BuiltProgram.rdnet, "vm-switch", "--link", "unix://\(path)", "--resolv-conf", ""]
            : [BuiltProgram.load, "headerless", attachment.rawValue, path, "eth0"]
        try serve(command, in: namespace, log: "guest\(index)")
        let isThere = try comesTrue { try namespace.run("ip", "link").contains(": eth0: ") }
        try #require(isThere, "\(log)")
        let address = attachment.address(of: index) + "/24"
        if attachment == .extended {
            let hasLease = try comesTrue { try namespace.run("ip", "address").contains(address) }
            try #require(hasLease, "\(log)")
        } else {
            try namespace.run("ip", "link", "set", "eth0", "mtu", String(mtu), "up")
            try namespace.run("ip", "address", "add", address, "dev", "eth0")
        }
        try namespace.run("ip", "address", "add", "fdc0::1\(index + 1)/64", "dev", "eth0", "nodad")
        try namespace.run("ping", "-c", "1", "-W", "10", "192.168.127.1")
    }

    /// Ends host-switch with SIGTERM.
    func endHost() {
        servers[0].end()
    }

    private func serve(_ command: [String], in namespace: NetworkNamespace, log: String) throws {
        let output = URL(fileURLWithPath: directory.file(log))
        servers.append(try RunningProgram(command, in: namespace, output: output))
    }

    /// The logs of all programs.
    var log: String {
        ["host", "guest0", "guest1"].map { name in
            directory.text(of: name)
        }.joined(separator: "\n")
    }

    /// Returns the statistics of host-switch.
    func statistics() throws -> [String: Any] {
        let text = try run(
            "curl",
            "-sS",
            "--unix-socket",
            directory.file("api"),
            "http:/unix/stats"
        )
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        return try #require(value as? [String: Any])
    }
}
