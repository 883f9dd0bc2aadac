import Foundation
import Testing

@testable import RDNetKit

/// The role that serves guests on the host, with its sockets in a directory.
struct GuestHost {
    /// The role and its options, as typed; the directory replaces `/tmp`.
    let line: String
    /// The sockets that exist once guests may connect.
    let sockets: [String]

    /// host-switch with one link of each kind.
    static let hostSwitch = GuestHost(
        line: """
            host-switch --link qemu+unix:///tmp/qemu.sock --link bess+unix:///tmp/bess.sock \
            --link vfkit+unixgram:///tmp/vfkit.sock --link vhost+unix:///tmp/vhost.sock
            """,
        sockets: ["qemu.sock", "bess.sock", "vfkit.sock", "vhost.sock"]
    )

    /// gvproxy as its documentation starts it, with one additional option.
    static func gvproxy(_ option: String, _ socket: String) -> GuestHost {
        GuestHost(
            line: "gvproxy -debug -listen unix:///tmp/network.sock \(option)",
            sockets: ["network.sock", socket]
        )
    }
}

/// A host's role in a namespace with a web server, and guests with their own kernels.
final class GuestNetwork {
    let host: NetworkNamespace
    let directory: TemporaryDirectory
    /// The checksum of the web server's file of 8 MiB.
    let checksum: String
    private(set) var program: RunningProgram?
    private let role: GuestHost
    private let server: RunningProgram
    private let fileSystem: String
    private var consoles = 0

    /// Starts everything except guests.
    init(
        modules: [String],
        isUserMode: Bool = false,
        files: [String: String] = [:],
        role: GuestHost = .hostSwitch
    ) throws {
        self.role = role
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        directory = TemporaryDirectory()
        fileSystem = directory.file("initrd")
        try GuestImage.makeFileSystem(
            fileSystem,
            modules: modules,
            isUserMode: isUserMode,
            files: files
        )

        let web = directory.file("www")
        try run("mkdir", "-p", web + "/cgi-bin")
        try run("dd", "if=/dev/urandom", "of=\(web)/file", "bs=1M", "count=8")
        checksum = String(try run("sha256sum", "\(web)/file").prefix(64))
        let answer = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nsha256sum\n"
        try Data(answer.utf8).write(to: URL(fileURLWithPath: "\(web)/cgi-bin/sum"))
        try run("chmod", "+x", "\(web)/cgi-bin/sum")
        server = try RunningProgram(["busybox", "httpd", "-f", "-h", web], in: host)
        try start()
    }

    /// Starts the host's role, possibly again after its end.
    func start() throws {
        let words = role.line.replacingOccurrences(of: "/tmp", with: directory.path)
            .split(separator: " ").map { String($0) }
        program = try RunningProgram(
            [BuiltProgram.rdnet] + words,
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        let isThere = comesTrue { sockets.count == role.sockets.count }
        try #require(isThere, "\(log)")
    }

    /// The role's sockets that exist.
    var sockets: [String] {
        role.sockets.filter { FileManager.default.fileExists(atPath: directory.file($0)) }
    }

    /// Starts a QEMU guest on QEMU's stream.
    func startStreamGuest(mac: MACAddress) throws -> GuestMachine {
        try .qemu(
            fileSystem,
            console: nextConsole(),
            network: (
                "stream,server=off,addr.type=unix,addr.path=\(directory.file("qemu.sock"))",
                "\(mac)"
            )
        )
    }

    /// Starts a QEMU guest whose memory the role maps.
    ///
    /// `options` are those of the device: a comma before each.
    func startVhostGuest(mac: MACAddress, options: String = "") throws -> GuestMachine {
        try .qemu(
            fileSystem,
            console: nextConsole(),
            network: (
                "vhost-user,chardev=link",
                // Without KVM, QEMU 7.2 crashes with the interrupts that it prefers.
                "\(mac),vectors=0\(options)"
            ),
            sharing: directory.file("vhost.sock")
        )
    }

    /// Starts a QEMU guest on datagrams, as vfkit uses them.
    func startDatagramGuest(mac: MACAddress) throws -> GuestMachine {
        let own = directory.file("guest")
        return try .qemu(
            fileSystem,
            console: nextConsole(),
            network: (
                "dgram,local.type=unix,local.path=\(own),remote.type=unix,remote.path="
                    + directory.file("vfkit.sock"),
                "\(mac)"
            )
        )
    }

    /// Starts a User Mode Linux guest on packets.
    func startPacketGuest(mac: MACAddress) throws -> GuestMachine {
        try .userMode(
            fileSystem,
            console: nextConsole(),
            socket: directory.file("bess.sock"),
            mac: "\(mac)"
        )
    }

    private func nextConsole() -> String {
        consoles += 1
        return directory.file("console\(consoles)")
    }

    /// The log of the host's role.
    var log: String {
        directory.text(of: "log")
    }
}
