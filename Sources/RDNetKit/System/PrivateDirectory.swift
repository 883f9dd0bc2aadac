internal import Glibc

/// A directory that only this user can access, with an unpredictable name.
struct PrivateDirectory {
    let path: String

    /// Creates a directory with mode 0700.
    ///
    /// See mkdtemp(3).
    ///
    /// - Parameter folders: The parent directories to try in order; not empty.
    /// - Throws: `SystemError` that names the last of them.
    init(in folders: [String]) throws(SystemError) {
        precondition(!folders.isEmpty, "a directory is in some folder")
        var failure = SystemError(call: "mkdtemp", errno: ENOENT)
        for folder in folders {
            let name = "\(folder)/rdnet-XXXXXX"
            var template = Array(name.utf8CString)
            if mkdtemp(&template) != nil {
                path = String(
                    decoding: template.dropLast().map { UInt8(bitPattern: $0) },
                    as: UTF8.self
                )
                return
            }
            failure = SystemError(call: "mkdtemp \(name)", errno: errno)
        }
        throw failure
    }

    /// The path of a file in the directory.
    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Removes the directory and the named files in it; a missing file is not an error.
    ///
    /// See rmdir(2).
    func remove(with names: [String] = []) {
        for name in names { _ = unlink(file(name)) }
        _ = rmdir(path)
    }
}
