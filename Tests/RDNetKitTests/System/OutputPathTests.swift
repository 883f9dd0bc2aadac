import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Files in a directory with the mode of /tmp, in which another user has prepared something.
@Suite(
    "output path in a shared directory",
    .enabled(if: canMakeNamespaces, "needs root to give files to another user")
)
struct OutputPathTests {
    private static let otherUser = "65534:65534"

    private let directory = TemporaryDirectory()

    init() throws {
        try run("chmod", "755", directory.path)
        try run("mkdir", "-m", "1777", shared)
        try run("mkdir", "-m", "755", directory.file("mine"))
        try run("sh", "-c", "echo precious >\(directory.file("mine/file"))")
    }

    private var shared: String { directory.file("shared") }
    private var precious: String { directory.file("mine/file") }

    /// The openers under test, by the name of what they write.
    private static let openers: [(name: String, open: @Sendable (String) throws -> Void)] = [
        ("log", { _ = try LogDestination.file($0, appending: false) }),
        ("capture", { _ = try CaptureDestination($0, appending: false) }),
        ("pid file", { _ = try PidFile($0, of: 1) }),
    ]

    private func refusal(of path: String, _ open: (String) throws -> Void) -> String? {
        do {
            try open(path)
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func expectPrecious() throws {
        #expect(try String(contentsOfFile: precious, encoding: .utf8) == "precious\n")
    }

    @Test(
        "root's symbolic link is not followed, nor another user's",
        arguments: ["0:0", otherUser]
    )
    func link(owner: String) throws {
        try run("ln", "-s", precious, shared + "/x")
        try run("chown", "-h", owner, shared + "/x")
        for (name, open) in Self.openers {
            let expected =
                "open \(shared)/x: x is a symbolic link in a directory that others can write to"
            #expect(refusal(of: shared + "/x", open) == expected, "\(name)")
        }
        try expectPrecious()
    }

    @Test func `a symbolic link to a directory on the way is not followed`() throws {
        try run("ln", "-s", directory.file("mine"), shared + "/x")
        try run("ln", "-s", shared + "/x", directory.file("mine/way"))
        for path in [
            shared + "/x/file", directory.file("mine/way/file"), shared + "/../shared/x/y",
        ] {
            for (name, open) in Self.openers {
                let expected =
                    "open \(path): x is a symbolic link in a directory that others can write to"
                #expect(refusal(of: path, open) == expected, "\(name)")
            }
            let socket = refusal(of: path) { _ = try ListeningSocket.unix(path: $0) }
            #expect(
                socket
                    == "bind \(path): x is a symbolic link in a directory that others can write to"
            )
        }
        try expectPrecious()
    }

    @Test func `a file of another user, a hard link and a planted pipe are not opened`() throws {
        try run("touch", shared + "/theirs")
        try run("chown", Self.otherUser, shared + "/theirs")
        try run("mkfifo", shared + "/pipe")
        try run("chown", Self.otherUser, shared + "/pipe")
        try run("ln", precious, shared + "/hard")
        let reasons = [
            ("theirs", "it belongs to another user"), ("pipe", "it belongs to another user"),
            ("hard", "it has a second name (a hard link)"),
        ]
        for (file, reason) in reasons {
            let path = "\(shared)/\(file)"
            for (name, open) in Self.openers.prefix(2) {
                let expected = "open \(path): \(reason) in a directory that others can write to"
                #expect(refusal(of: path, open) == expected, "\(name)")
            }
        }
        try expectPrecious()
    }

    @Test func `a pid file takes the place of what another user prepared`() throws {
        try run("touch", shared + "/theirs")
        try run("chown", Self.otherUser, shared + "/theirs")
        try run("ln", precious, shared + "/hard")
        for file in ["theirs", "hard"] {
            let path = "\(shared)/\(file)"
            _ = try PidFile(path, of: 42)
            #expect(try run("stat", "-c", "%u %a %h", path) == "0 600 1\n")
        }
        try expectPrecious()
    }

    @Test func `links of other users in their own directory are not followed, those of root are`()
        throws
    {
        let theirs = directory.file("theirs")
        try run("mkdir", "-m", "755", theirs)
        for (name, owner) in [("x", Self.otherUser), ("root", "0:0")] {
            try run("ln", "-s", precious, "\(theirs)/\(name)")
            try run("chown", "-h", owner, "\(theirs)/\(name)")
        }
        try run("chown", Self.otherUser, theirs)
        let expected =
            "open \(theirs)/x: x is a symbolic link in a directory that others can write to"
        let open = Self.openers[1].open
        #expect(refusal(of: theirs + "/x", open) == expected)
        try expectPrecious()
        #expect(refusal(of: theirs + "/root", open) == nil)
    }

    @Test func `in a private directory, links lead where they lead`() throws {
        let path = directory.file("mine/link")
        try run("ln", "-s", "../mine//./file", path)
        let log = try LogDestination.file(path, appending: true)
        #expect(log.write(Array("line\n".utf8)[...]) == 5)
        #expect(try String(contentsOfFile: precious, encoding: .utf8) == "precious\nline\n")
        try run("ln", "-s", "loop", directory.file("mine/loop"))
        let refused = refusal(of: directory.file("mine/loop"), Self.openers[0].open)
        #expect(refused?.hasSuffix("Too many levels of symbolic links") == true)
    }

    @Test func `new files have their mode even without umask`() throws {
        let before = umask(0)
        defer { umask(before) }
        for (index, mode) in ["644", "600", "600"].enumerated() {
            let path = "\(shared)/\(index)"
            try Self.openers[index].open(path)
            #expect(try run("stat", "-c", "%a", path) == mode + "\n")
        }
    }

    @Test(
        "links of /proc to open files are followed",
        arguments: ["/dev/stderr", "/proc/self/fd/2"]
    )
    func magic(path: String) throws {
        _ = try LogDestination.file(path, appending: true)
    }
}
