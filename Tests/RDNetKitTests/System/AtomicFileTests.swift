import Foundation
import Testing

@testable import RDNetKit

@Suite("atomic file")
struct AtomicFileTests {
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("rdnet-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    private func text(_ name: String) throws -> String {
        try String(contentsOf: directory.appendingPathComponent(name), encoding: .utf8)
    }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    @Test func `is made, and replaced by a shorter one`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        try AtomicFile.replace(path("file"), with: "a long first text\n")
        try AtomicFile.replace(path("file"), with: "short\n")
        #expect(try text("file") == "short\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["file"])
    }

    @Test func `is written behind a symbolic link`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        try AtomicFile.replace(path("target"), with: "old\n")
        try FileManager.default.createSymbolicLink(
            atPath: path("link"),
            withDestinationPath: "target"
        )
        try AtomicFile.replace(path("link"), with: "new\n")
        #expect(try text("target") == "new\n")
        let target = try FileManager.default.destinationOfSymbolicLink(atPath: path("link"))
        #expect(target == "target")
    }

    @Test(
        .enabled(if: canMakeNamespaces, "needs root to mount")
    )
    func `is written in place where it is a mount point`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        try AtomicFile.replace(path("below"), with: "below\n")
        try AtomicFile.replace(path("file"), with: "file\n")
        try run("mount", "--bind", path("below"), path("file"))
        defer { #expect(throws: Never.self) { try run("umount", path("file")) } }
        try AtomicFile.replace(path("file"), with: "new\n")
        #expect(try text("file") == "new\n")
        #expect(try text("below") == "new\n")
    }

    @Test func `a link in a directory that everybody can write to is not followed`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        try AtomicFile.replace(path("target"), with: "old\n")
        try run("mkdir", "-m", "1777", path("shared"))
        try run("ln", "-s", path("target"), path("shared/link"))
        #expect(throws: SystemError.self) {
            try AtomicFile.replace(path("shared/link"), with: "new\n")
        }
        #expect(try text("target") == "old\n")
    }

    @Test func `what is no regular file is not replaced`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        try run("mkfifo", path("pipe"))
        #expect(throws: SystemError.self) { try AtomicFile.replace(path("pipe"), with: "x") }
        #expect(try run("stat", "-c", "%F", path("pipe")).trimmed == "fifo")
    }

    @Test func `a directory that does not exist is an error`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        #expect(throws: SystemError.self) { try AtomicFile.replace(path("no/file"), with: "x") }
    }

    @Test(
        .enabled(if: canMakeNamespaces, "needs root to mount")
    )
    func `a full disk leaves the old file and nothing else`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        try run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory.path)
        defer { #expect(throws: Never.self) { try run("umount", "-l", directory.path) } }
        try AtomicFile.replace(path("file"), with: "old\n")
        let long = String(repeating: "0123456789abcde\n", count: 8_192)
        do {
            try AtomicFile.replace(path("file"), with: long)
            Issue.record("it cannot fit")
        } catch {
            #expect("\(error)" == "write \(path("file")): No space left on device")
        }
        #expect(try text("file") == "old\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["file"])
        let former = FileIdentity(at: path("file"))
        try AtomicFile.replace(path("file"), with: "new\n")
        #expect(try text("file") == "new\n")
        #expect(FileIdentity(at: path("file")) != former, "it was written in place")
    }

    @Test func `what a killed process left changes nothing`() throws {
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: directory) } }
        try AtomicFile.replace(path("file"), with: "old\n")
        let file = try FileHandle(forReadingFrom: directory.appendingPathComponent("file"))
        try run("touch", path("file.\(ProcessInfo.processInfo.processIdentifier).new"))
        try AtomicFile.replace(path("file"), with: "new\n")
        // A reader that opened the file before reads it to its end.
        #expect(try file.readToEnd() == Data("old\n".utf8))
        #expect(try text("file") == "new\n")
    }
}
