internal import CLinux
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

    /// Sets the permissions and the group of the file, which was created for this user alone.
    ///
    /// It changes the file that is open here, wherever the path leads by now. See chmod(2), and
    /// proc(5), `/proc/self/fd`.
    ///
    /// - Parameters:
    ///   - mode: The permission bits.
    ///   - group: Nil for no change.
    /// - Throws: `SystemError`; EPERM if the user is not in the group.
    func setAccess(mode: Int, group: UInt32?) throws(SystemError) {
        let number = try systemCall("open \(path)") {
            open(path, Int32(CLINUX_O_PATH) | O_NOFOLLOW | O_CLOEXEC)
        }
        defer { close(number) }
        guard let identity, FileIdentity(ofSocket: path) == identity else { return }
        let file = "/proc/self/fd/\(number)"
        if let group {
            try systemCall("chown \(path)") { chown(file, uid_t.max, group) }
        }
        try systemCall("chmod \(path)") { chmod(file, mode_t(mode)) }
    }

    /// What the path leads to.
    enum State {
        /// The socket's own file.
        case present
        /// Nothing.
        case missing
        /// A different file.
        case replaced
    }

    /// What the path leads to now.
    ///
    /// See stat(2).
    var state: State {
        guard let found = FileIdentity(at: path, followsLink: false) else { return .missing }
        return found == identity ? .present : .replaced
    }

    /// Removes the file unless the path now leads to a different one.
    ///
    /// See unlink(2).
    func remove() {
        guard let identity, FileIdentity(ofSocket: path) == identity else { return }
        _ = unlink(path)
    }
}
