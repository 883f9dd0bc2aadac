internal import CLinux
internal import Glibc

/// A file descriptor that is closed exactly once: when its owner is destroyed.
struct OwnedDescriptor: ~Copyable {
    /// The descriptor's number, valid while the owner lives.
    let number: Int32

    /// Creates an owner for a descriptor that the kernel has just returned.
    init(adopting number: Int32) {
        precondition(number >= 0, "a descriptor is never negative")
        self.number = number
    }

    /// Takes over a connected stream that the program inherited when it started.
    ///
    /// - Parameter number: The descriptor's number, such as 3.
    /// - Returns: The descriptor, close-on-exec and non-blocking.
    /// - Throws: `SystemError`: EBADF if the program did not inherit it, ENOTSOCK, ENOTCONN for a
    ///   listening socket.
    static func inherited(_ number: Int32) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try inheritedSocket(number)
        guard try Socket.option(descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 0 else {
            throw SystemError(call: "descriptor \(number)", errno: ENOTCONN)
        }
        return descriptor
    }

    /// Takes over a file, pipe or socket that the program inherited when it started.
    ///
    /// - Returns: The descriptor, close-on-exec.
    /// - Throws: `SystemError`: EBADF. A descriptor that this program opened itself is
    ///   close-on-exec, so it counts as not inherited.
    static func inheritedFile(_ number: Int32) throws(SystemError) -> OwnedDescriptor {
        try checkInheritance(of: number)
        try systemCall("fcntl(F_SETFD)") { fcntl(number, F_SETFD, FD_CLOEXEC) }
        return OwnedDescriptor(adopting: number)
    }

    /// Closes every descriptor that the program inherited, except the standard streams.
    ///
    /// Whoever started the program may wait until they are closed. See proc(5), /proc/self/fd.
    static func closeInherited() {
        var inherited: [Int32] = []
        Directory.forEachName(in: "/proc/self/fd") { name in
            // This program opens none without close-on-exec.
            if let number = Int32(name), number > STDERR_FILENO,
                fcntl(number, F_GETFD) & FD_CLOEXEC == 0
            {
                inherited.append(number)
            }
            return true
        }
        for number in inherited { _ = close(number) }
    }

    /// Keeps a descriptor that the program was started with from programs that it starts.
    ///
    /// The standard streams stay theirs, too.
    ///
    /// - Parameter number: Any number.
    /// - Returns: Whether the program was started with it. This program opens none without
    ///   close-on-exec.
    static func claimInherited(_ number: Int32) -> Bool {
        let flags = fcntl(number, F_GETFD)
        guard flags >= 0, flags & FD_CLOEXEC == 0 else { return false }
        if number > STDERR_FILENO { _ = fcntl(number, F_SETFD, flags | FD_CLOEXEC) }
        return true
    }

    private static func checkInheritance(of number: Int32) throws(SystemError) {
        let flags = fcntl(number, F_GETFD)
        guard flags != -1, flags & FD_CLOEXEC == 0 else {
            throw SystemError(call: "descriptor \(number) was not handed over", errno: EBADF)
        }
    }

    /// Writes a short text in one piece and closes the descriptor.
    ///
    /// - Parameter text: At most PIPE_BUF bytes, which a pipe takes as a whole; the rest is cut
    ///   off.
    /// - Throws: `SystemError`: EPIPE, or EBADF for a descriptor that is open for reading only.
    consuming func report(_ text: String) throws(SystemError) {
        let octets = Array(text.utf8.prefix(Int(PIPE_BUF)))
        // Not by systemCall: the descriptor is the caller's choice, so EBADF is no bug.
        guard write(number, octets, octets.count) >= 0 else {
            throw SystemError(call: "write to descriptor \(number)", errno: errno)
        }
    }

    /// Takes over any socket that the program inherited when it started.
    ///
    /// The descriptor becomes close-on-exec and non-blocking. Descriptors that this program opens
    /// are already close-on-exec, so they are never mistaken for an inherited descriptor.
    ///
    /// - Throws: `SystemError`: EBADF, ENOTSOCK.
    static func inheritedSocket(_ number: Int32) throws(SystemError) -> OwnedDescriptor {
        try checkInheritance(of: number)
        var status = stat()
        guard fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
            throw SystemError(call: "descriptor \(number)", errno: ENOTSOCK)
        }
        try systemCall("fcntl(F_SETFD)") { fcntl(number, F_SETFD, FD_CLOEXEC) }
        let mode = try systemCall("fcntl(F_GETFL)") { fcntl(number, F_GETFL) }
        try systemCall("fcntl(F_SETFL)") { fcntl(number, F_SETFL, mode | O_NONBLOCK) }
        return OwnedDescriptor(adopting: number)
    }

    deinit {
        // On Linux, the descriptor is closed even after EINTR and EIO; see close(2).
        _ = close(number)
    }

    /// Gives up the descriptor without closing it and returns its number.
    consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    /// Makes calls on the descriptor block, as programs expect of the descriptors they inherit.
    ///
    /// See fcntl(2), O_NONBLOCK.
    func setBlocking() throws(SystemError) {
        let number = number
        let mode = try systemCall("fcntl(F_GETFL)") { fcntl(number, F_GETFL) }
        try systemCall("fcntl(F_SETFL)") { fcntl(number, F_SETFL, mode & ~O_NONBLOCK) }
    }

    /// Cuts a regular file; does nothing to a pipe or a device.
    ///
    /// See ftruncate(2).
    ///
    /// - Parameters:
    ///   - length: The new length in bytes.
    ///   - path: The path for the error message.
    /// - Throws: `SystemError` that names the path.
    func truncateIfRegular(to length: Int64, named path: String) throws(SystemError) {
        let number = number
        var status = stat()
        try systemCall("stat \(path)") { fstat(number, &status) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size != length else { return }
        try systemCall("truncate \(path)") { ftruncate(number, off_t(length)) }
    }

    /// Creates a second descriptor for the same open file, close-on-exec.
    ///
    /// See fcntl(2), F_DUPFD_CLOEXEC.
    func duplicate() throws(SystemError) -> OwnedDescriptor {
        let number = number
        return OwnedDescriptor(
            adopting: try systemCall("fcntl(F_DUPFD_CLOEXEC)") { fcntl(number, F_DUPFD_CLOEXEC, 3) }
        )
    }
}
