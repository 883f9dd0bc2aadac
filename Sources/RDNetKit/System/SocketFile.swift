internal import CLinux
internal import Glibc

/// The file of a unix socket that this program has bound.
///
/// If another program uses the path later, it creates a different file, and that file stays. While
/// the socket is open, no other file can get its inode.
struct SocketFile {
    let path: String
    let identity: FileIdentity?

    /// Creates a reference to the file of a socket that was just bound.
    init(_ path: String) {
        self.path = path
        identity = FileIdentity(ofSocket: path)
    }

    /// Sets the group and the permissions of the file.
    ///
    /// It changes the file that is open here, wherever the path leads by now. See chown(2),
    /// chmod(2), and proc(5), `/proc/self/fd`.
    ///
    /// - Parameter access: The group and the mode. If the file has the mode already, /proc is not
    ///   needed.
    /// - Throws: `SystemError`; EPERM if the user is not in the group.
    func set(_ access: SocketAccess) throws(SystemError) {
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                open(path, Int32(CLINUX_O_PATH) | O_NOFOLLOW | O_CLOEXEC)
            }
        )
        guard FileIdentity(of: file) == identity else { return }
        let number = file.number
        if let group = access.group {
            let itself = Int32(CLINUX_AT_EMPTY_PATH)
            try systemCall("chown \(path)") { fchownat(number, "", uid_t.max, group, itself) }
        }
        var status = stat()
        try systemCall("stat \(path)") { fstat(number, &status) }
        guard status.st_mode & 0o7777 != mode_t(access.mode) else { return }
        let link = "/proc/self/fd/\(number)"
        try systemCall("chmod \(path)") { fchmodat(AT_FDCWD, link, mode_t(access.mode), 0) }
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
