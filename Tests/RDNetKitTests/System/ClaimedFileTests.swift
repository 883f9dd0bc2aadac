import Foundation
import Testing

@testable import RDNetKit

@Suite("claimed file")
struct ClaimedFileTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("file") }

    private func text(_ name: String = "file") throws -> String {
        try String(contentsOfFile: directory.file(name), encoding: .utf8)
    }

    private func write(_ text: String, to name: String = "file") throws {
        try text.write(toFile: directory.file(name), atomically: false, encoding: .utf8)
    }

    /// Renames another file over the claimed one.
    private func replace(with text: String) throws {
        try write(text, to: "other")
        try run("mv", directory.file("other"), path)
    }

    @Test("is written in place, and gets its text back", arguments: ["", "a longer first text\n"])
    func restoresText(before: String) throws {
        try write(before)
        let file = try ClaimedFile(existing: path)
        let identity = FileIdentity(at: path)
        #expect(try file.write("two\n") == .written)
        #expect(try text() == "two\n")
        #expect(try file.write("three\n") == .written)
        #expect(FileIdentity(at: path) == identity)
        #expect(try file.restore())
        #expect(try text() == before)
        #expect(FileIdentity(at: path) == identity)
    }

    @Test func `the same text is not written again`() throws {
        try write("one\n")
        let file = try ClaimedFile(existing: path)
        #expect(try file.write("one\n") == .unchanged)
        #expect(try file.write("two\n") == .written)
        try run("touch", "-d", "@1000000000", path)
        #expect(try file.write("two\n") == .unchanged)
        #expect(try run("stat", "-c", "%Y", path).trimmed == "1000000000")
    }

    @Test func `a file that was renamed over the path is never written`() throws {
        try write("mine\n")
        let file = try ClaimedFile(existing: path)
        try replace(with: "theirs\n")
        #expect(try file.write("new\n") == .replaced)
        #expect(try text() == "theirs\n")
    }

    @Test func `a file that was renamed over a written one survives the restoration`() throws {
        try write("mine\n")
        let file = try ClaimedFile(existing: path)
        #expect(try file.write("new\n") == .written)
        try replace(with: "theirs\n")
        #expect(try file.write("newer\n") == .replaced)
        #expect(try !file.restore())
        #expect(try text() == "theirs\n")
    }

    @Test func `a file that is gone is not made again`() throws {
        try write("mine\n")
        let file = try ClaimedFile(existing: path)
        try run("rm", path)
        #expect(try file.write("new\n") == .replaced)
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func `what somebody else wrote into the file stays`() throws {
        try write("mine\n")
        let file = try ClaimedFile(existing: path)
        #expect(try file.write("new\n") == .written)
        try run("sh", "-c", "echo theirs >\(path)")
        #expect(try !file.restore())
        #expect(try text() == "theirs\n")
    }

    @Test func `a file that was made is removed, if it is still the one`() throws {
        let file = try ClaimedFile(making: path)
        #expect(try file.write("new\n") == .written)
        #expect(try run("stat", "-c", "%a", path).trimmed == "644")
        #expect(try file.restore())
        #expect(!FileManager.default.fileExists(atPath: path))

        let other = try ClaimedFile(making: path)
        #expect(try other.write("new\n") == .written)
        try replace(with: "theirs\n")
        #expect(try !other.restore())
        #expect(try text() == "theirs\n")
    }

    @Test func `a link that leads nowhere comes back`() throws {
        try run("ln", "-s", "/nowhere/resolv.conf", path)
        let file = try ClaimedFile(making: path)
        #expect(try file.write("new\n") == .written)
        #expect(try text() == "new\n")
        #expect(try file.restore())
        #expect(try run("readlink", path).trimmed == "/nowhere/resolv.conf")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["file"])
    }

    @Test func `a file is written behind a link that leads to it`() throws {
        try write("one\n", to: "target")
        try run("ln", "-s", "target", path)
        let file = try ClaimedFile(existing: path)
        #expect(try file.write("two\n") == .written)
        #expect(try text("target") == "two\n")
        #expect(try run("readlink", path).trimmed == "target")
    }

    @Test("what is no regular file cannot be claimed", arguments: ["/dev/null", "/"])
    func isNoRegularFile(path: String) {
        #expect(throws: SystemError.self) { try ClaimedFile(existing: path) }
    }

    @Test func `nothing is made where there is something`() throws {
        try write("mine\n")
        #expect(throws: SystemError.self) { try ClaimedFile(making: path) }
        #expect(try text() == "mine\n")
    }

    @Test(.enabled(if: canMakeNamespaces, "needs root to mount"))
    func `a mount point is one, and its neighbor is not`() throws {
        try write("below\n")
        try write("above\n", to: "source")
        #expect(try !ClaimedFile(existing: path).isMountPoint)
        try run("mount", "--bind", directory.file("source"), path)
        defer { #expect(throws: Never.self) { try run("umount", "-l", path) } }
        let file = try ClaimedFile(existing: path)
        #expect(file.isMountPoint)
        #expect(try file.write("new\n") == .written)
        #expect(try text("source") == "new\n")
        // Unmounting removes the path to the file; the file itself gets its text back.
        try run("umount", "-l", path)
        #expect(try file.write("newer\n") == .replaced)
        #expect(try text() == "below\n")
        #expect(try file.restore())
        #expect(try text("source") == "above\n")
        try run("mount", "--bind", directory.file("source"), path)
    }
}
