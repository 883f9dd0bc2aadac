import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("the run-time directory")
struct RuntimeDirectoryTests {
    private let folder = TemporaryDirectory()

    private func directory() throws -> RuntimeDirectory {
        chmod(folder.path, 0o700)
        return try #require(RuntimeDirectory { $0 == "XDG_RUNTIME_DIR" ? folder.path : nil })
    }

    @Test func `it is made for this user only, and lists the sockets of running programs`() throws {
        let directory = try directory()
        #expect(directory.path == folder.path + "/rdnet-api")
        #expect(directory.sockets.isEmpty)
        let path = try directory.freePath(for: "up")
        #expect(path == "\(directory.path)/up-\(getpid()).sock")
        let mode = try FileManager.default.attributesOfItem(atPath: directory.path)[
            .posixPermissions
        ]
        #expect(mode as? Int == 0o700)
        let socket = try ListeningSocket.unix(path: path)
        #expect(directory.sockets == [path])
        #expect(try directory.freePath(for: "up") == "\(directory.path)/up-\(getpid())-1.sock")
        _ = consume socket
        // A socket that a killed program has left is not offered, and is removed by the next one.
        #expect(directory.sockets.isEmpty)
        #expect(try directory.freePath(for: "gvproxy").hasSuffix("/gvproxy-\(getpid()).sock"))
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func `a directory that others can write to, or a link, is not used`() throws {
        let directory = try directory()
        _ = try directory.freePath(for: "up")
        chmod(directory.path, 0o777)
        #expect(throws: SystemError.self) { try directory.freePath(for: "up") }
        #expect(directory.sockets.isEmpty)
        rmdir(directory.path)
        symlink("/tmp", directory.path)
        #expect(throws: SystemError.self) { try directory.freePath(for: "up") }
        chmod(folder.path, 0o777)
        #expect(RuntimeDirectory { _ in folder.path }?.path != directory.path)
    }
}
