internal import CLinux
internal import Glibc

/// Paths where other programs ask for a unix socket.
enum SocketPath {
    private static let maximumDepth = 64

    /// Makes room for a socket: creates missing directories with mode 0755 and removes a socket
    /// that is there, whether a program uses it or not.
    ///
    /// See mkdir(2), unlink(2).
    ///
    /// - Parameter path: Absolute.
    /// - Returns: Whether the path is free now; false if another kind of file is there.
    /// - Throws: `SystemError` that names the path.
    static func clear(_ path: String) throws(SystemError) -> Bool {
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else { return false }
            try systemCall("removing \(path)") { unlink(path) }
        } else {
            let slashes = path.indices.filter { path[$0] == "/" && $0 > path.startIndex }
            for slash in slashes.prefix(maximumDepth) {
                try makeDirectory(String(path[..<slash]))
            }
        }
        return true
    }

    private static func makeDirectory(_ path: String) throws(SystemError) {
        guard mkdir(path, 0o755) != 0, errno != EEXIST else { return }
        throw SystemError(call: "making \(path)", errno: errno)
    }
}
