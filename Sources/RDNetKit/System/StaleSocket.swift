internal import CLinux
internal import Glibc

/// The file of a unix socket that no process has open anymore, such as a killed program leaves
/// behind.
enum StaleSocket {
    /// How often to try again to take a lock that another program holds, a millisecond apart.
    private static let lockRetries = 100

    /// Whether a path is in use by anything other than a stale socket.
    static func isOccupied(_ path: String) -> Bool {
        FileIdentity(at: path, followsLink: false) != nil && !isStale(path)
    }

    /// Binds a new socket to a path, and removes a stale socket's file first, in one step.
    ///
    /// A bound socket that does not listen yet looks stale. Therefore rdnet processes that bind in
    /// one directory take turns: each holds a lock on the directory while it binds. If the
    /// directory cannot be locked in time, because it is not readable or another program holds the
    /// lock, the process continues without the lock. See flock(2).
    ///
    /// - Parameters:
    ///   - path: The path of the socket.
    ///   - replacing: Whether to remove a stale file. If not, the call never waits for the lock, so
    ///     a running loop may use it.
    ///   - bind: Creates a socket at the path that others can connect to.
    /// - Returns: The socket from `bind`.
    /// - Throws: `SystemError` when the stale file cannot be moved, or from `bind`.
    static func taking(
        _ path: String,
        replacing: Bool,
        _ bind: () throws(SystemError) -> OwnedDescriptor
    ) throws(SystemError) -> OwnedDescriptor {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let directory = slash.map { "\(path[..<$0])/" } ?? "."
        let lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        // Closing the descriptor releases the lock.
        defer { if lock >= 0 { close(lock) } }
        if lock >= 0 { acquire(lock, retries: replacing ? lockRetries : 0) }
        if replacing { try remove(at: path) }
        return try bind()
    }

    /// The reason why no process can receive datagrams at an address; nil if one may.
    static func absence(of receiver: SocketAddress) -> SystemError? {
        guard let error = connectError(.datagram, receiver),
            [ECONNREFUSED, ENOENT, ENOTDIR].contains(error.errno)
        else { return nil }
        return error
    }

    private static func acquire(_ descriptor: Int32, retries: Int) {
        for attempt in 0...retries {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK { return }
            if attempt < retries { usleep(1_000) }
        }
    }

    /// Removes a stale socket's file; any other file stays.
    ///
    /// Moves the file to a private name first and checks it again there; if another program has
    /// replaced the file meanwhile, its file moves back. An open descriptor keeps the inode of the
    /// stale file from being reused for that other file.
    private static func remove(at path: String) throws(SystemError) {
        let held = open(path, Int32(CLINUX_O_PATH) | O_NOFOLLOW | O_CLOEXEC)
        guard held >= 0 else { return }
        defer { close(held) }
        guard let identity = FileIdentity(ofSocket: path), isStale(path) else { return }
        let aside = FreshName.beside(path)
        try systemCall("rename \(path)") { rename(path, aside) }
        if FileIdentity(ofSocket: aside) != identity || isLive(aside, held) {
            _ = link(aside, path)
        }
        _ = unlink(aside)
    }

    private static func isStale(_ path: String) -> Bool {
        FileIdentity(ofSocket: path) != nil && !isLive(path)
    }

    /// Whether a process may still have a socket file's socket open.
    ///
    /// Connecting to a stale socket fails with ECONNREFUSED, regardless of its type. A live socket
    /// of another type fails with EPROTOTYPE. See unix(7).
    ///
    /// - Parameters:
    ///   - path: The path of the file.
    ///   - file: The open file, which also has a short path.
    /// - Returns: True if that cannot be determined.
    private static func isLive(_ path: String, _ file: Int32? = nil) -> Bool {
        let short = file.flatMap { SocketAddress(path: "/proc/self/fd/\($0)") }
        // No program can bind to a path that is too long for an address.
        guard let address = SocketAddress(path: path) ?? short else { return false }
        return connectError(.stream, address)?.errno != ECONNREFUSED
    }

    private static func connectError(_ kind: SocketKind, _ address: SocketAddress) -> SystemError? {
        do {
            _ = try Socket.connect(Socket.make(AF_UNIX, kind), to: address)
            return nil
        } catch {
            return error
        }
    }
}
