import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The program in a root that contains only its own file: no library, shell, /proc or /dev.
@Suite("in a root of its own", .enabled(if: canMakeNamespaces, "needs root for chroot(2)"))
struct BareRootTests {
    private let root = TemporaryDirectory()

    init() throws {
        try run("cp", BuiltProgram.staticFile(), root.file("rdnet"))
    }

    @Test func `every role is there, and understands its arguments`() throws {
        let roles = try run("chroot", root.path, "/rdnet", "--list").split(separator: "\n")
        #expect(roles.map { String($0) } == RoleRegistry.standard.roles.map(\.name))
        for role in roles {
            let usage = try run("chroot", root.path, "/rdnet", "\(role)", "--help")
            #expect(usage.hasPrefix("Usage: rdnet \(role) "))
        }
    }

    @Test func `it installs itself without /proc`() throws {
        try run("mkdir", root.file("bin"))
        try run("chroot", root.path, "/rdnet", "--install", "/bin")
        #expect(FileLink.areSame(root.file("bin/vm-switch"), root.file("rdnet")))
    }

    @Test func `it serves, with no variable set`() throws {
        let host = try NetworkNamespace()
        let program = try RunningProgram(
            [
                "env", "-i", "/usr/sbin/chroot", root.path, "/rdnet", "host-switch", "--link",
                "unix:///link", "--api", "unix:///api", "--logfile", "/log",
            ],
            in: host
        )
        let isThere = comesTrue { FileManager.default.fileExists(atPath: root.file("api")) }
        try #require(isThere)
        let answer = try run(
            "curl",
            "-s",
            "--unix-socket",
            root.file("api"),
            "http:/unix/services/forwarder/all"
        )
        #expect(answer == "[]\n")
        program.end()
        #expect(program.status == 1)
        #expect(!FileManager.default.fileExists(atPath: root.file("api")))
    }
}
