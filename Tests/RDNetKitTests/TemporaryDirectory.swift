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

    /// Returns the text of a file in the directory; empty if there is no such file yet.
    func text(of name: String) -> String {
        let octets = FileManager.default.contents(atPath: file(name)) ?? Data()
        return String(decoding: octets, as: UTF8.self)
    }
}
