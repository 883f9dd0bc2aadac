import Foundation
import Testing

@testable import RDNetKit

@Suite("pid file")
struct PidFileTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("wsl-init.pid") }

    private func octets() -> Data? { FileManager.default.contents(atPath: path) }

    @Test func `is the number alone, for its owner alone, whatever was there`() throws {
        try AtomicFile.replace(path, with: "123456789\n")
        try PidFile(path: path, process: 42).write()
        #expect(octets() == Data("42".utf8))
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test func `is removed, unless it names another process by now`() throws {
        let file = PidFile(path: path, process: 42)
        try file.write()
        try PidFile(path: path, process: 43).write()
        try file.remove()
        #expect(octets() == Data("43".utf8))
        try PidFile(path: path, process: 43).remove()
        #expect(octets() == nil)
        try file.remove()
    }

    @Test func `a directory that is not there is said in one sentence`() {
        let path = directory.file("nowhere/x.pid")
        do {
            try PidFile(path: path, process: 1).write()
            Issue.record("it cannot be written")
        } catch {
            #expect("\(error)" == "open \(path): No such file or directory")
        }
    }
}
