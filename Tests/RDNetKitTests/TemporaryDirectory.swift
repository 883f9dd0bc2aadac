import CLinux
import Foundation
import Glibc
import Testing

/// A directory of a test's own, removed with all that is in it.
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

    /// The path of a file in it.
    func file(_ name: String) -> String { path + "/" + name }
}
