internal import Glibc

/// The file of a unix socket that this program has bound.
///
/// If another program uses the path later, it creates a different file, and that file stays. While
/// the socket is open, no other file can get its inode.
struct SocketFile {
    let path: String
    private let identity: FileIdentity?

    /// Creates a reference to the file of a socket that was just bound.
    init(_ path: String) {
        self.path = path
        identity = FileIdentity(ofSocket: path)
    }

    /// Removes the file unless the path now leads to a different one.
    ///
    /// See unlink(2).
    func remove() {
        guard let identity, FileIdentity(ofSocket: path) == identity else { return }
        _ = unlink(path)
    }
}
