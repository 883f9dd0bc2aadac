internal import CLinux
internal import Glibc

/// A file descriptor that is closed exactly once: when its owner goes away.
struct OwnedDescriptor: ~Copyable {
    /// The number, for calls made while the owner lives.
    let number: Int32

    /// Takes over a descriptor that the caller just got from the kernel.
    init(adopting number: Int32) {
        precondition(number >= 0, "a descriptor is never negative")
        self.number = number
    }

    /// Takes over a connected stream that the program was started with.
    ///
    /// It is made close-on-exec and non-blocking. What this program opened itself is close-on-exec
    /// already, and so is never mistaken for it.
    ///
    /// - Parameter number: Such as 3.
    /// - Returns: The descriptor.
    /// - Throws: `SystemError`: EBADF when the program was not started with it, ENOTSOCK, ENOTCONN.
    static func inherited(_ number: Int32) throws(SystemError) -> OwnedDescriptor {
        let flags = fcntl(number, F_GETFD)
        guard flags != -1, flags & FD_CLOEXEC == 0 else {
            throw SystemError(call: "descriptor \(number) was not handed over", errno: EBADF)
        }
        var status = stat()
        guard fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
            throw SystemError(call: "descriptor \(number)", errno: ENOTSOCK)
        }
        try systemCall("fcntl(F_SETFD)") { fcntl(number, F_SETFD, FD_CLOEXEC) }
        let mode = try systemCall("fcntl(F_GETFL)") { fcntl(number, F_GETFL) }
        try systemCall("fcntl(F_SETFL)") { fcntl(number, F_SETFL, mode | O_NONBLOCK) }
        let descriptor = OwnedDescriptor(adopting: number)
        guard try Socket.option(descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 0 else {
            throw SystemError(call: "descriptor \(number)", errno: ENOTCONN)
        }
        return descriptor
    }

    deinit {
        // EINTR and EIO leave it closed on Linux all the same; see close(2).
        _ = close(number)
    }

    /// Gives the descriptor away without closing it.
    consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    /// Makes calls on it wait, as programs expect of what they are started with.
    ///
    /// See fcntl(2), O_NONBLOCK.
    func setBlocking() throws(SystemError) {
        let number = number
        let mode = try systemCall("fcntl(F_GETFL)") { fcntl(number, F_GETFL) }
        try systemCall("fcntl(F_SETFL)") { fcntl(number, F_SETFL, mode & ~O_NONBLOCK) }
    }

    /// A second descriptor for the same open file, close-on-exec.
    ///
    /// See fcntl(2), F_DUPFD_CLOEXEC.
    func duplicate() throws(SystemError) -> OwnedDescriptor {
        let number = number
        return OwnedDescriptor(
            adopting: try systemCall("fcntl(F_DUPFD_CLOEXEC)") { fcntl(number, F_DUPFD_CLOEXEC, 3) }
        )
    }
}
