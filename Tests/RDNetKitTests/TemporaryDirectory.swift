import CLinux
import Foundation
import Glibc
import Testing

/// A temporary directory for one test, removed with its contents.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/rdnet-test-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template))
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record(error)
        }
    }

    /// Returns the path of a file in the directory.
    func file(_ name: String) -> String { path + "/" + name }
}
