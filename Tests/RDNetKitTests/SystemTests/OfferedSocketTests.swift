import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("the API without words")
struct OfferedSocketTests {
    private let folder = TemporaryDirectory()

    init() {
        chmod(folder.path, 0o700)
    }

    private func start(_ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: BuiltProgram.rdnet)
        process.arguments = arguments
        process.environment = ["XDG_RUNTIME_DIR": folder.path]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.start()
        return process
    }

    /// Runs `ctl` in this run-time directory; returns its status and all output.
    private func ctl(_ words: String...) throws -> (status: Int32, text: String) {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: BuiltProgram.rdnet)
        process.arguments = ["ctl"] + words
        process.environment = ["XDG_RUNTIME_DIR": folder.path]
        process.standardOutput = output
        process.standardError = output
        try process.start()
        let octets = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: octets, as: UTF8.self))
    }

    private var sockets: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.file("rdnet-api"))) ?? [])
            .sorted()
    }

    @Test func `ctl finds the only network, lists several, and each takes its socket away`() throws
    {
        #expect(try ctl("flows").status == 2)
        #expect(try ctl("flows").text.contains("use --api ADDRESS or set RDNET_API"))
        let link = "unix://" + folder.file("link")
        let host = try start(["host-switch", "--link", link, "--no-host-loopback"])
        #expect(comesTrue { sockets == ["host-switch-\(host.processIdentifier).sock"] })
        #expect(try comesTrue { try ctl("flows").status == 0 })

        let proxy = try start(["gvproxy"])
        #expect(comesTrue { sockets.count == 2 })
        let several = try ctl("flows")
        #expect(several.status == 2)
        #expect(several.text.contains("several networks run; choose one with --api:"))
        #expect(several.text.contains("/gvproxy-\(proxy.processIdentifier).sock"))
        let path = folder.file("rdnet-api/host-switch-\(host.processIdentifier).sock")
        #expect(try ctl("flows", "--api", path).status == 0)

        for process in [host, proxy] {
            kill(process.processIdentifier, SIGTERM)
            process.waitUntilExit()
        }
        #expect(sockets.isEmpty)
    }

    @Test func `--no-api-socket and another address offer none`() throws {
        let link = "unix://" + folder.file("link")
        let quiet = try start(["host-switch", "--link", link, "--no-api-socket"])
        let other = try start([
            "host-switch", "--link", link + "2", "--api", "unix://" + folder.file("api"),
        ])
        #expect(comesTrue { FileManager.default.fileExists(atPath: folder.file("api")) })
        #expect(comesTrue { FileManager.default.fileExists(atPath: folder.file("link")) })
        #expect(sockets.isEmpty)
        for process in [quiet, other] {
            kill(process.processIdentifier, SIGTERM)
            process.waitUntilExit()
        }
    }
}
