internal import CLinux
internal import Glibc

/// What can be set on a socket, and asked of it.
extension Socket {
    /// Sends every piece at once: the guest's kernel has collected already.
    ///
    /// See tcp(7), TCP_NODELAY.
    static func setNoDelay(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        try set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, to: 1)
    }

    /// Lets the kernel notice that an idle peer is gone.
    ///
    /// See tcp(7), SO_KEEPALIVE.
    static func setKeepAlive(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        try set(descriptor, SOL_SOCKET, SO_KEEPALIVE, to: 1)
    }

    /// Prepares an accepted connection for a flow; a unix socket has no such options and needs
    /// none.
    static func prepareForFlow(_ descriptor: borrowing OwnedDescriptor) {
        do {
            try setNoDelay(descriptor)
            try setKeepAlive(descriptor)
        } catch {
            // EOPNOTSUPP: not TCP.
        }
    }

    /// Keeps urgent octets in their place among the others.
    ///
    /// An accepted connection has what its listening socket was told. See tcp(7), SO_OOBINLINE.
    static func keepUrgentInLine(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        try set(descriptor, SOL_SOCKET, SO_OOBINLINE, to: 1)
    }

    /// Asks for large buffers both ways, beyond the system's limit where privilege allows.
    ///
    /// See socket(7), SO_SNDBUFFORCE: without CAP_NET_ADMIN the kernel grants up to
    /// `net.core.wmem_max`.
    static func enlargeBuffers(_ descriptor: borrowing OwnedDescriptor, to size: Int32) {
        for (force, plain) in [(SO_SNDBUFFORCE, SO_SNDBUF), (SO_RCVBUFFORCE, SO_RCVBUF)] {
            do {
                try set(descriptor, SOL_SOCKET, force, to: size)
            } catch {
                // Smaller buffers cost speed, not correctness, so a refusal is no failure.
                var value = size
                _ = setsockopt(
                    descriptor.number,
                    SOL_SOCKET,
                    plain,
                    &value,
                    socklen_t(MemoryLayout<Int32>.size)
                )
            }
        }
    }

    /// Makes `close` send a reset instead of an end.
    ///
    /// See socket(7), SO_LINGER.
    static func resetOnClose(_ descriptor: borrowing OwnedDescriptor) {
        var option = linger(l_onoff: 1, l_linger: 0)
        // A unix socket ignores it: its peer sees an end, or a reset where data were unread.
        _ = setsockopt(
            descriptor.number,
            SOL_SOCKET,
            SO_LINGER,
            &option,
            socklen_t(MemoryLayout<linger>.size)
        )
    }

    /// Makes calls on a socket wait, for a program that expects it.
    ///
    /// See fcntl(2), O_NONBLOCK.
    static func setBlocking(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        let number = descriptor.number
        let mode = try systemCall("fcntl(F_GETFL)") { fcntl(number, F_GETFL) }
        try systemCall("fcntl(F_SETFL)") { fcntl(number, F_SETFL, mode & ~O_NONBLOCK) }
    }

    /// Sends the connection's octets as fast as the peer takes them, whatever the system's rule is
    /// for networks.
    ///
    /// For a peer on the same machine: there is no queue on the way to be considerate of, and BBR's
    /// pacing costs a third of the throughput. See tcp(7), TCP_CONGESTION.
    static func sendUnpaced(_ descriptor: borrowing OwnedDescriptor) {
        // Part of every kernel; a refusal costs speed only.
        _ = setsockopt(descriptor.number, Int32(IPPROTO_TCP), TCP_CONGESTION, "reno", 4)
    }

    /// Sets an integer option.
    ///
    /// See setsockopt(2).
    static func set(
        _ descriptor: borrowing OwnedDescriptor,
        _ level: Int32,
        _ option: Int32,
        to value: Int32
    ) throws(SystemError) {
        let number = descriptor.number
        var value = value
        try systemCall("setsockopt(\(level), \(option))") {
            setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    /// Reads an integer option.
    ///
    /// See getsockopt(2).
    static func option(
        _ descriptor: borrowing OwnedDescriptor,
        _ level: Int32,
        _ option: Int32
    ) throws(SystemError) -> Int32 {
        let number = descriptor.number
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try systemCall("getsockopt(\(level), \(option))") {
            getsockopt(number, level, option, &value, &length)
        }
        return value
    }

    /// The error that a socket has kept for its owner, 0 when none, and clears it.
    ///
    /// See socket(7), SO_ERROR.
    static func takeError(_ descriptor: borrowing OwnedDescriptor) -> Int32 {
        do {
            return try option(descriptor, SOL_SOCKET, SO_ERROR)
        } catch {
            return error.errno
        }
    }
}
