internal import CLinux
internal import Glibc

/// Socket options: setting and reading them.
extension Socket {
    /// Sends every segment immediately, because the guest's kernel has already coalesced the data.
    ///
    /// See tcp(7), TCP_NODELAY.
    static func setNoDelay(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        try set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, to: 1)
    }

    /// Lets the kernel detect that an idle peer no longer responds.
    ///
    /// See tcp(7), SO_KEEPALIVE.
    static func setKeepAlive(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        try set(descriptor, SOL_SOCKET, SO_KEEPALIVE, to: 1)
    }

    /// Makes the kernel probe an idle peer, and fail the connection if the peer does not answer.
    ///
    /// See tcp(7), TCP_KEEPIDLE. A unix socket has no such options and needs none.
    static func probePeer(_ descriptor: borrowing OwnedDescriptor, after idle: Duration) {
        do {
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, to: 15)
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, to: 8)
            // Last, because it starts the timer.
            let seconds = Int32(truncatingIfNeeded: idle.components.seconds)
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, to: seconds)
        } catch {
            // EOPNOTSUPP: not TCP.
        }
    }

    /// Makes the kernel probe a peer now, and fail the connection after 15 seconds without an
    /// answer.
    ///
    /// See tcp(7), TCP_USER_TIMEOUT. The kernel reports the end of a unix socket's peer at once.
    static func probePeerNow(_ descriptor: borrowing OwnedDescriptor) {
        do {
            try set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, to: 15_000)
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, to: 2)
            // Last, because it starts the timer.
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, to: 1)
        } catch {
            // EOPNOTSUPP: not TCP.
        }
    }

    /// The estimated time to the peer and back, in microseconds; nil for a socket that is not TCP,
    /// or without an estimate.
    ///
    /// See tcp(7), TCP_INFO.
    static func roundTrip(_ descriptor: borrowing OwnedDescriptor) -> UInt64? {
        var report = tcp_info()
        var length = socklen_t(MemoryLayout<tcp_info>.size)
        let protocolNumber = Int32(IPPROTO_TCP)
        let status = getsockopt(descriptor.number, protocolNumber, TCP_INFO, &report, &length)
        guard status == 0, report.tcpi_rtt > 0 else { return nil }
        return UInt64(report.tcpi_rtt)
    }

    /// Whether the peer has closed its end, even if some of its data is still unread.
    ///
    /// See poll(2), POLLRDHUP.
    static func hasEnded(_ descriptor: borrowing OwnedDescriptor) -> Bool {
        var state = pollfd(fd: descriptor.number, events: Int16(CLINUX_POLLRDHUP), revents: 0)
        return poll(&state, 1, 0) == 1
            && state.revents & Int16(Int32(CLINUX_POLLRDHUP) | POLLHUP) != 0
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

    /// Keeps urgent bytes in order with the rest of the stream.
    ///
    /// An accepted connection inherits the option from its listening socket. See tcp(7),
    /// SO_OOBINLINE.
    static func keepUrgentInLine(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        try set(descriptor, SOL_SOCKET, SO_OOBINLINE, to: 1)
    }

    /// Requests large buffers in both directions, beyond the system's limit if privilege allows.
    ///
    /// See socket(7), SO_SNDBUFFORCE: without CAP_NET_ADMIN the kernel grants up to
    /// `net.core.wmem_max`.
    static func enlargeBuffers(_ descriptor: borrowing OwnedDescriptor, to size: Int32) {
        for (force, plain) in [(SO_SNDBUFFORCE, SO_SNDBUF), (SO_RCVBUFFORCE, SO_RCVBUF)] {
            do {
                try set(descriptor, SOL_SOCKET, force, to: size)
            } catch {
                // Smaller buffers cost speed, not correctness, so a refusal is not an error.
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

    /// Makes `close` send a reset instead of the end of the stream.
    ///
    /// See socket(7), SO_LINGER.
    static func resetOnClose(_ descriptor: borrowing OwnedDescriptor) {
        var option = linger(l_onoff: 1, l_linger: 0)
        // A unix socket ignores the option: its peer reads the end of the stream, or a reset if
        // data was unread.
        _ = setsockopt(
            descriptor.number,
            SOL_SOCKET,
            SO_LINGER,
            &option,
            socklen_t(MemoryLayout<linger>.size)
        )
    }

    /// Makes a socket blocking, for a program that expects it.
    ///
    /// See fcntl(2), O_NONBLOCK.
    static func setBlocking(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        let number = descriptor.number
        let mode = try systemCall("fcntl(F_GETFL)") { fcntl(number, F_GETFL) }
        try systemCall("fcntl(F_SETFL)") { fcntl(number, F_SETFL, mode & ~O_NONBLOCK) }
    }

    /// Lets a socket send and receive through one interface only.
    ///
    /// See socket(7), SO_BINDTODEVICE.
    static func bind(
        _ descriptor: borrowing OwnedDescriptor,
        toInterface name: String
    ) throws(SystemError) {
        let number = descriptor.number
        let octets = Array(name.utf8)
        try systemCall("setsockopt(SO_BINDTODEVICE) \(name)") {
            setsockopt(number, SOL_SOCKET, SO_BINDTODEVICE, octets, socklen_t(octets.count))
        }
    }

    /// Sends as fast as the peer accepts data, regardless of the system's congestion control.
    ///
    /// For a peer on the same machine: no shared queue lies between, and BBR's pacing costs a third
    /// of the throughput. See tcp(7), TCP_CONGESTION.
    static func sendUnpaced(_ descriptor: borrowing OwnedDescriptor) {
        // Every kernel includes Reno; a refusal costs only speed.
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

    /// Returns and clears the pending error of a socket; 0 for none.
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
