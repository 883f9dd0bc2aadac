internal import Glibc

/// A directory that only this user can look into, with a name that nobody could foresee.
struct PrivateDirectory {
    let path: String

    /// Makes one, with mode 0700.
    ///
    /// See mkdtemp(3).
    ///
    /// - Parameter folders: Where; the first that takes it, and there is at least one.
    /// - Throws: `SystemError` with the last folder in it.
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

    /// The path of a file in it.
    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Removes it with files in it; those that are not there are no failure.
    ///
    /// See rmdir(2).
    func remove(with names: [String] = []) {
        for name in names { _ = unlink(file(name)) }
        _ = rmdir(path)
    }
}
