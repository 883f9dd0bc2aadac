internal import CLinux
internal import Glibc

/// A directory: its creation, and the names in it.
enum Directory {
    /// Creates a directory and those above it, unless they exist.
    ///
    /// See mkdir(2).
    ///
    /// - Parameter path: Absolute or relative.
    /// - Throws: `SystemError` that names the directory that could not be created.
    static func makeAll(_ path: String) throws(SystemError) {
        var folder = path.hasPrefix("/") ? "" : "."
        for name in path.split(separator: "/") {
            folder += "/" + name
            guard mkdir(folder, 0o755) != 0, errno != EEXIST else { continue }
            throw SystemError(call: "mkdir \(folder)", errno: errno)
        }
    }

    /// Calls a closure with each name until it returns false; never if the directory cannot be
    /// read.
    ///
    /// See readdir(3).
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - body: Receives a name without the path; returns whether to go on.
    static func forEachName(in path: String, _ body: (String) -> Bool) {
        guard let directory = opendir(path) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            // Sound: the name is a NUL-terminated array of chars, valid until the next readdir.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard body(name) else { return }
        }
    }
}
