internal import CLinux
internal import Glibc

/// A second name for a file.
enum FileLink {
    /// What `make` did.
    enum Outcome {
        case made
        /// The name already led to this file.
        case kept
        /// The name led to another file.
        case replaced
    }

    /// Limit on temporary names to try; a name is taken only if another process uses it at this
    /// moment.
    private static let attempts = 16

    /// Gives a file a second name and replaces any other file of that name.
    ///
    /// The name changes atomically: a program started meanwhile finds the old or the new file. See
    /// link(2), symlink(2), rename(2).
    ///
    /// - Parameters:
    ///   - path: The new name.
    ///   - target: An absolute path of an existing file.
    ///   - isSymbolic: Whether to create a symbolic link instead of a hard link.
    /// - Returns: Whether the link was created, kept or replaced.
    /// - Throws: `SystemError` that names the new name: EISDIR if it is a directory.
    static func make(
        _ path: String,
        to target: String,
        isSymbolic: Bool
    ) throws(SystemError) -> Outcome {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw SystemError(call: "link \(path)", errno: EISDIR)
        }
        if areSame(path, target) { return .kept }
        do throws(SystemError) {
            try create(path, target, isSymbolic, named: path)
            return .made
        } catch {
            guard error.errno == EEXIST else { throw error }
        }
        let temporary = try createBeside(path, target, isSymbolic)
        do {
            try systemCall("rename \(path)") { rename(temporary, path) }
        } catch {
            _ = unlink(temporary)
            throw error
        }
        return .replaced
    }

    private static func createBeside(
        _ path: String,
        _ target: String,
        _ isSymbolic: Bool
    ) throws(SystemError) -> String {
        var attempt = 1
        while true {
            let temporary = "\(path).\(getpid())-\(attempt)"
            do throws(SystemError) {
                try create(temporary, target, isSymbolic, named: path)
                return temporary
            } catch {
                guard error.errno == EEXIST, attempt < attempts else { throw error }
            }
            attempt += 1
        }
    }

    private static func create(
        _ path: String,
        _ target: String,
        _ isSymbolic: Bool,
        named name: String
    ) throws(SystemError) {
        if isSymbolic {
            try systemCall("symlink \(name)") { symlink(target, path) }
        } else {
            try systemCall("link \(name)") { link(target, path) }
        }
    }

    /// Returns a file's absolute path with all symbolic links resolved.
    ///
    /// See realpath(3).
    ///
    /// - Parameter path: The path of an existing file.
    /// - Returns: The resolved path.
    /// - Throws: `SystemError` that names the file: ENOENT, EACCES, ….
    static func resolved(_ path: String) throws(SystemError) -> String {
        guard let pointer = realpath(path, nil) else {
            throw SystemError(call: path, errno: errno)
        }
        defer { free(pointer) }
        // Sound: realpath returns a NUL-terminated string.
        return String(cString: pointer)
    }

    /// Whether two paths lead to the same file.
    ///
    /// See stat(2).
    static func areSame(_ one: String, _ other: String) -> Bool {
        var first = stat()
        var second = stat()
        guard stat(one, &first) == 0, stat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }
}
