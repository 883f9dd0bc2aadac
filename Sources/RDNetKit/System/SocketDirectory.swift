internal import CLinux
internal import Glibc

/// A directory in which other programs leave unix sockets.
enum SocketDirectory {
    /// The maximum number of entries to read; any others are ignored.
    private static let maximumEntries = 4_096

    /// The names of the sockets in a directory, sorted.
    ///
    /// See readdir(3).
    ///
    /// - Parameter path: The directory, with a slash at the end.
    /// - Returns: Names without the path.
    /// - Throws: `SystemError` that names the path.
    static func names(in path: String) throws(SystemError) -> [String] {
        guard let directory = opendir(path) else {
            throw SystemError(call: "open \(path)", errno: errno)
        }
        defer { closedir(directory) }
        var names: [String] = []
        for _ in 0..<maximumEntries {
            guard let entry = readdir(directory) else { break }
            // Sound: the name ends with NUL, and the entry is valid until the next call.
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if isSocket(path + name, Int32(entry.pointee.d_type)) { names.append(name) }
        }
        return names.sorted()
    }

    private static func isSocket(_ path: String, _ kind: Int32) -> Bool {
        if kind != Int32(DT_UNKNOWN) { return kind == Int32(DT_SOCK) }
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }
}
