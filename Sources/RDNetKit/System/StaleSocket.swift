internal import CLinux
internal import Glibc

/// The file of a unix socket that no process has open any more, as a killed program leaves it.
enum StaleSocket {
    /// How often a lock that another program holds is tried again, a millisecond apart.
    private static let lockAttempts = 100

    /// Whether a path leads to anything but a stale socket.
    static func isOccupied(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && !isStale(path)
    }

    /// Replaces a stale socket: removes its file and binds another at the path, as one step.
    ///
    /// A socket that is bound and does not listen yet looks stale. So programs of ours that bind in
    /// one directory take turns: whoever binds holds a lock on it. A directory that cannot be
    /// locked in time, because it is not readable or another program has locked it, is used
    /// without. See flock(2).
    ///
    /// - Parameters:
    ///   - path: Of the socket.
    ///   - bind: Makes a socket at the path that others can connect to.
    /// - Returns: What `bind` returned.
    /// - Throws: `SystemError` when the stale file cannot be moved, or from `bind`.
    static func replace(
        at path: String,
        _ bind: () throws(SystemError) -> OwnedDescriptor
    ) throws(SystemError) -> OwnedDescriptor {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let directory = slash.map { "\(path[..<$0])/" } ?? "."
        let lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        // Closing it releases the lock.
        defer { if lock >= 0 { close(lock) } }
        if lock >= 0 { acquire(lock) }
        try remove(at: path)
        return try bind()
    }

    /// Why a datagram to an address would reach nobody; nil if a process may have the address.
    static func absence(of receiver: SocketAddress) -> SystemError? {
        do {
            _ = try Socket.connect(Socket.make(AF_UNIX, .datagram), to: receiver)
            return nil
        } catch {
            return [ECONNREFUSED, ENOENT, ENOTDIR].contains(error.errno) ? error : nil
        }
    }

    private static func acquire(_ descriptor: Int32) {
        for _ in 0..<lockAttempts {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK { return }
            usleep(1_000)
        }
    }

    /// Removes a stale socket's file; any other file stays.
    ///
    /// The file moves to a name of our own first and is looked at again there: what another program
    /// has put at the path meanwhile moves back. The stale file is held open, so that its inode
    /// does not become that other file's.
    private static func remove(at path: String) throws(SystemError) {
        let held = open(path, Int32(CLINUX_O_PATH) | O_NOFOLLOW | O_CLOEXEC)
        guard held >= 0 else { return }
        defer { close(held) }
        guard let identity = FileIdentity(ofSocket: path), isStale(path) else { return }
        let aside = "\(path).\(getpid()).stale"
        try systemCall("rename \(path)") { rename(path, aside) }
        if FileIdentity(ofSocket: aside) != identity || isLive(aside) { _ = link(aside, path) }
        _ = unlink(aside)
    }

    private static func isStale(_ path: String) -> Bool {
        FileIdentity(ofSocket: path) != nil && !isLive(path)
    }

    /// Whether a process may be behind a socket's file.
    ///
    /// Connecting to a stale one fails with ECONNREFUSED whatever its kind was; a live socket of
    /// another kind answers EPROTOTYPE. See unix(7).
    private static func isLive(_ path: String) -> Bool {
        // No program binds to a path that is too long for an address.
        guard let address = SocketAddress(path: path) else { return false }
        do {
            _ = try Socket.connect(Socket.make(AF_UNIX, .stream), to: address)
            return true
        } catch {
            return error.errno != ECONNREFUSED
        }
    }
}
