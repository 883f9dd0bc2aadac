import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("private directory")
struct PrivateDirectoryTests {
    @Test func `is ours alone, in the first folder that takes it, and goes with its files`() throws
    {
        let folder = TemporaryDirectory()
        let directory = try PrivateDirectory(in: ["/nowhere", folder.path, "/tmp"])
        #expect(directory.path.hasPrefix(folder.path + "/rdnet-"))
        var status = stat()
        #expect(lstat(directory.path, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o700)
        try Data().write(to: URL(fileURLWithPath: directory.file("a")))
        directory.remove(with: ["a", "b"])
        #expect(lstat(directory.path, &status) == -1)
        #expect(throws: SystemError(call: "mkdtemp /nowhere/rdnet-XXXXXX", errno: ENOENT)) {
            try PrivateDirectory(in: ["/nowhere"])
        }
    }
}
