import Foundation
import Testing

@testable import RDNetKit

/// `host-switch` in a namespace with a web server beside it, and guests with kernels of their own.
final class GuestNetwork {
    let host: NetworkNamespace
    let directory: TemporaryDirectory
    /// Of the file that the web server has, 8 MiB.
    let checksum: String
    private let server: RunningProgram
    private let hostSwitch: RunningProgram
    private let fileSystem: String
    private var consoles = 0

    /// Starts all but guests.
    init(modules: [String]) throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        directory = TemporaryDirectory()
        fileSystem = directory.file("initrd")
        try GuestImage.makeFileSystem(fileSystem, modules: modules)

        let web = directory.file("www")
        try run("mkdir", "-p", web + "/cgi-bin")
        try run("dd", "if=/dev/urandom", "of=\(web)/file", "bs=1M", "count=8")
        checksum = String(try run("sha256sum", "\(web)/file").prefix(64))
        let answer = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nsha256sum\n"
        try Data(answer.utf8).write(to: URL(fileURLWithPath: "\(web)/cgi-bin/sum"))
        try run("chmod", "+x", "\(web)/cgi-bin/sum")
        server = try RunningProgram(["busybox", "httpd", "-f", "-h", web], in: host)

        let links = [
            "qemu+unix://" + directory.file("stream"), "bess+unix://" + directory.file("packets"),
            "vfkit+unixgram://" + directory.file("datagrams"),
        ]
        hostSwitch = try RunningProgram(
            [BuiltProgram.rdnet, "host-switch", "--logfile", directory.file("log")]
                + links.flatMap { ["--link", $0] },
            in: host
        )
        let isThere = comesTrue {
            ["stream", "packets", "datagrams"].allSatisfy { name in
                FileManager.default.fileExists(atPath: directory.file(name))
            }
        }
        try #require(isThere, "\(log)")
    }

    /// Starts a guest in QEMU over QEMU's stream.
    func startStreamGuest(mac: MACAddress) throws -> GuestMachine {
        try .qemu(
            fileSystem,
            console: nextConsole(),
            network: (
                "stream,server=off,addr.type=unix,addr.path=\(directory.file("stream"))",
                "\(mac)"
            )
        )
    }

    /// Starts a guest in QEMU over datagrams, as vfkit has them.
    func startDatagramGuest(mac: MACAddress) throws -> GuestMachine {
        let own = directory.file("guest")
        return try .qemu(
            fileSystem,
            console: nextConsole(),
            network: (
                "dgram,local.type=unix,local.path=\(own),remote.type=unix,remote.path="
                    + directory.file("datagrams"),
                "\(mac)"
            )
        )
    }

    /// Starts a guest in User Mode Linux over packets.
    func startPacketGuest(mac: MACAddress) throws -> GuestMachine {
        try .userMode(
            fileSystem,
            console: nextConsole(),
            socket: directory.file("packets"),
            mac: "\(mac)"
        )
    }

    private func nextConsole() -> String {
        consoles += 1
        return directory.file("console\(consoles)")
    }

    /// What host-switch has logged.
    var log: String {
        let octets = FileManager.default.contents(atPath: directory.file("log")) ?? Data()
        return String(decoding: octets, as: UTF8.self)
    }
}
