import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("state directory")
struct StateDirectoryTests {
    private let parent = TemporaryDirectory()
    private var path: String { parent.file("state") }
    private var file: String { path + "/" + StateDirectory.fileName }

    private func write(_ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        chmod(file, 0o600)
    }

    @Test func `is created for this user only, and its file is replaced as a whole`() throws {
        let directory = try StateDirectory(path, for: nil)
        #expect(directory.read() == .absent)
        try directory.replace(with: Array("first".utf8))
        try directory.replace(with: Array("2nd".utf8))
        #expect(directory.read() == .octets(Array("2nd".utf8)))
        #expect(try run("stat", "-c", "%a", path, file) == "700\n600\n")
        let names = try FileManager.default.contentsOfDirectory(atPath: path)
        #expect(Set(names) == ["state.json", "state.lock"])
    }

    @Test func `refuses a second user, and is free after the first`() throws {
        do {
            let directory = try StateDirectory(path, for: nil)
            let error = #expect(throws: StateDirectoryError.self) {
                _ = try StateDirectory(directory.path, for: nil)
            }
            #expect(error == .inUse)
        }
        _ = try StateDirectory(path, for: nil)
    }

    @Test func `refuses a directory that everyone can write to`() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        chmod(path, 0o1777)
        let error = #expect(throws: StateDirectoryError.self) {
            _ = try StateDirectory(path, for: nil)
        }
        #expect(error == .writableByOthers)
    }

    @Test(.enabled(if: getuid() == 0, "needs root to own a directory of another user"))
    func `refuses what another user has prepared in a shared directory`() throws {
        chmod(parent.path, 0o1777)
        try run("mkdir", "-m", "700", path)
        chown(path, 12_345, 12_345)
        try run("ln", "-s", "/etc", parent.file("link"))
        for (name, reason) in [
            ("state", "it belongs to another user"), ("state/", "it belongs to another user"),
            ("link", "link is a symbolic link"),
        ] {
            let error = #expect(throws: StateDirectoryError.self) {
                _ = try StateDirectory(parent.file(name), for: nil)
            }
            #expect(error?.description == reason + " in a directory that others can write to")
        }
    }

    @Test func `names the cause of a failure`() throws {
        let error = #expect(throws: StateDirectoryError.self) {
            _ = try StateDirectory(parent.file("no/state"), for: nil)
        }
        #expect(error?.description == "no such file or directory")
    }

    @Test(
        "a file that may be somebody else's is not read, but renamed",
        arguments: [
            ("ln -s /etc/passwd @", "a symbolic link"),
            ("mkfifo @", "not a regular file"),
            ("mkdir @", "not a regular file"),
            ("touch @; chmod 666 @", "writable by other users"),
            ("truncate -s 9M @; chmod 600 @", "larger than 8388608 bytes"),
        ]
    )
    func unusable(command: String, reason: String) throws {
        let directory = try StateDirectory(path, for: nil)
        for _ in 1...2 {
            try run("sh", "-c", command.replacingOccurrences(of: "@", with: file))
            #expect(directory.read() == .unusable(reason))
            try run("rm", "-rf", path + "/" + StateDirectory.asideName)
            try directory.setAside()
            #expect(directory.read() == .absent)
        }
    }

    @Test(.enabled(if: getuid() == 0, "needs root to own a file of another user"))
    func `a file of another user is not read`() throws {
        let directory = try StateDirectory(path, for: nil)
        try write("text")
        chown(file, 12_345, 12_345)
        #expect(directory.read() == .unusable("the file of another user (12345)"))
    }

    @Test func `at most one file is set aside`() throws {
        let directory = try StateDirectory(path, for: nil)
        for text in ["one", "two"] {
            try write(text)
            try directory.setAside()
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: path)
        #expect(Set(names) == ["state.json.bad", "state.lock"])
        #expect(try String(contentsOfFile: path + "/state.json.bad", encoding: .utf8) == "two")
    }
}
