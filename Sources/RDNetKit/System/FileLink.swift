internal import CLinux
internal import Glibc

/// A second name for a file.
enum FileLink {
    /// Gives a file a second name in a directory; one that is there already and means the same file is kept.
    ///
    /// See link(2), symlink(2).
    ///
    /// - Parameters:
    ///   - path: The new name.
    ///   - target: An absolute path of an existing file.
    ///   - isSymbolic: Whether to make a symbolic link instead of a hard one.
    /// - Throws: `SystemError` that names the new name.
    static func make(_ path: String, to target: String, isSymbolic: Bool) throws(SystemError) {
        do {
            if isSymbolic {
                try systemCall("symlink \(path)") { symlink(target, path) }
            } else {
                try systemCall("link \(path)") { link(target, path) }
            }
        } catch {
            guard error.errno == EEXIST, areSame(path, target) else { throw error }
        }
    }

    /// A file's absolute path, behind all symbolic links.
    ///
    /// See realpath(3).
    ///
    /// - Parameter path: Of an existing file.
    /// - Returns: The path.
    /// - Throws: `SystemError` that names the file: ENOENT, EACCES, ….
    static func resolved(_ path: String) throws(SystemError) -> String {
        guard let pointer = realpath(path, nil) else {
            throw SystemError(call: path, errno: errno)
        }
        defer { free(pointer) }
        // Sound: realpath returns a NUL-terminated string.
        return String(cString: pointer)
    }

    /// Whether two paths lead to one file.
    ///
    /// See stat(2).
    static func areSame(_ one: String, _ other: String) -> Bool {
        var first = stat()
        var second = stat()
        guard stat(one, &first) == 0, stat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }
}
