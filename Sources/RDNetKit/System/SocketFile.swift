internal import Glibc

/// The file of a unix socket that this program has bound.
///
/// Whoever uses the path later has another file there, which stays. As long as the socket is open,
/// its inode cannot become another file's.
struct SocketFile {
    let path: String
    private let identity: FileIdentity?

    /// Looks at the file of a socket that was bound just now.
    init(_ path: String) {
        self.path = path
        identity = FileIdentity(ofSocket: path)
    }

    /// Removes the file, unless the path leads to another one by now.
    ///
    /// See unlink(2).
    func remove() {
        guard let identity, FileIdentity(ofSocket: path) == identity else { return }
        _ = unlink(path)
    }
}
