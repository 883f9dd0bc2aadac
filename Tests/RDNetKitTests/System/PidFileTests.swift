import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("pid file")
struct PidFileTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("wsl-init.pid") }

    private func octets() -> Data? { FileManager.default.contents(atPath: path) }

    @Test func `is the number alone, for its owner alone, whatever was there`() throws {
        try AtomicFile.replace(path, with: "123456789\n")
        let file = try PidFile(path, of: 42)
        #expect(octets() == Data("42".utf8))
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        try file.remove()
    }

    @Test func `is removed, unless it names another process by now`() throws {
        let file = try PidFile(path, of: 42)
        let newer = try PidFile(path, of: 43)
        try file.remove()
        #expect(octets() == Data("43".utf8))
        // A program that writes in place keeps the inode.
        try TextFile.overwrite(open(O_WRONLY), with: Array("44".utf8), named: path)
        try newer.remove()
        #expect(octets() == Data("44".utf8))
        try TextFile.overwrite(open(O_WRONLY), with: Array("43".utf8), named: path)
        try newer.remove()
        #expect(octets() == nil)
        try file.remove()
    }

    @Test func `another file with the same number stays`() throws {
        let file = try PidFile(path, of: 42)
        try AtomicFile.replace(path, with: "42")
        try file.remove()
        #expect(octets() == Data("42".utf8))
    }

    @Test func `a directory that is not there is said in one sentence`() {
        let path = directory.file("nowhere/x.pid")
        do {
            _ = try PidFile(path, of: 1)
            Issue.record("it cannot be written")
        } catch {
            #expect("\(error)" == "open \(path): No such file or directory")
        }
    }

    private func open(_ flags: Int32) throws -> OwnedDescriptor {
        let path = path
        return OwnedDescriptor(adopting: try systemCall("open") { Glibc.open(path, flags) })
    }
}
