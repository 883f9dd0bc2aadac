import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A program that listens on unix sockets in a directory of its own.
private final class ListeningProgram {
    let directory = TemporaryDirectory()
    private let program: RunningProgram

    /// Starts rdnet; `@` in an argument stands for the directory.
    init(_ arguments: String...) throws {
        let directory = directory
        let words = arguments.map { $0.replacingOccurrences(of: "@", with: directory.path) }
        program = try RunningProgram(
            [BuiltProgram.rdnet] + words,
            output: URL(fileURLWithPath: directory.file("log"))
        )
    }

    deinit {
        program.end()
    }

    var log: String {
        String(
            decoding: FileManager.default.contents(atPath: directory.file("log")) ?? Data(),
            as: UTF8.self
        )
    }

    func serves(_ name: String, _ kind: SocketKind) throws -> Bool {
        let address = try #require(SocketAddress(path: directory.file(name)))
        do {
            return try Socket.connect(Socket.make(AF_UNIX, kind), to: address)
        } catch {
            return false
        }
    }

    func remove(_ name: String) throws {
        try FileManager.default.removeItem(atPath: directory.file(name))
    }
}

@Suite("socket files that a cleaner removes")
struct RemovedSocketTests {
    /// The name and the type of each socket.
    private func checkReturn(_ program: ListeningProgram, _ sockets: [(String, SocketKind)]) throws
    {
        for (name, kind) in sockets {
            #expect(try comesTrue { try program.serves(name, kind) }, "\(name): \(program.log)")
        }
        for (name, _) in sockets { try program.remove(name) }
        for (name, kind) in sockets {
            #expect(try comesTrue { try program.serves(name, kind) }, "\(name): \(program.log)")
        }
    }

    @Test func `host-switch creates every link, API and forward socket again`() throws {
        let program = try ListeningProgram(
            "host-switch",
            "--link",
            "unix://@/stream",
            "--link",
            "qemu+unix://@/qemu",
            "--link",
            "vpnkit+unix://@/vpnkit",
            "--link",
            "bess+unix://@/packets",
            "--link",
            "vfkit+unixgram://@/datagrams",
            "--api-path",
            "@",
            "--api",
            "unix://@/api"
        )
        #expect(try comesTrue { try program.serves("api", .stream) }, "\(program.log)")
        let local = program.directory.file("forward")
        try run(
            "curl",
            "-sSf",
            "--unix-socket",
            program.directory.file("api"),
            "-d",
            #"{"protocol":"unix","local":"\#(local)","remote":"tcp://192.168.127.2:80"}"#,
            "http://gateway/services/forwarder/expose"
        )
        try checkReturn(
            program,
            [
                ("stream", .stream), ("qemu", .stream), ("vpnkit", .stream), ("api", .stream),
                ("forward", .stream), ("packets", .packet), ("datagrams", .datagram),
            ]
        )
        let api = program.directory.file("api")
        try run("curl", "-sSf", "--unix-socket", api, "http://gateway/stats")
    }

    @Test func `gvproxy creates every socket again`() throws {
        let program = try ListeningProgram(
            "gvproxy",
            "-listen",
            "unix://@/api",
            "-listen-vpnkit",
            "unix://@/vpnkit",
            "-forward-sock",
            "@/ssh",
            "-forward-dest",
            "/run/podman.sock",
            "-forward-user",
            "user",
            "-forward-identity",
            "@/log"
        )
        try checkReturn(program, [("api", .stream), ("vpnkit", .stream), ("ssh", .stream)])
    }

    @Test func `wsl-proxy creates its socket again`() throws {
        let program = try ListeningProgram(
            "wsl-proxy",
            "-socketFile",
            "@/proxy",
            "-logfile",
            ""
        )
        try checkReturn(program, [("proxy", .stream)])
    }
}
