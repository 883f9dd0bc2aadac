internal import CLinux
internal import Glibc

/// Which socket families can peek at an offset (SO_PEEK_OFF): unix since Linux 3.4, TCP over IPv4
/// since 6.10, over IPv6 since 6.12.
struct PeekOffsetSupport: Equatable {
    var unix: Bool
    var ipv4: Bool
    var ipv6: Bool

    /// No family: what is in flight is read over.
    static let none = PeekOffsetSupport(unix: false, ipv4: false, ipv6: false)

    /// Asks the kernel, with one throw-away socket a family.
    static func probe() -> PeekOffsetSupport {
        PeekOffsetSupport(
            unix: isSupported(AF_UNIX),
            ipv4: isSupported(AF_INET),
            ipv6: isSupported(AF_INET6)
        )
    }

    private static func isSupported(_ family: Int32) -> Bool {
        do {
            let socket = try Socket.make(family, SOCK_STREAM)
            try Socket.set(socket, SOL_SOCKET, SO_PEEK_OFF, to: 0)
            return true
        } catch {
            return false
        }
    }
}

/// The host's end of a flow: a stream socket that keeps what the guest has not acknowledged.
///
/// Reading is peeking at an offset from the first octet not discarded; acknowledged octets are
/// discarded. After the peer's end a peek behind the last octet returns 0, even while octets in
/// front of it wait to be discarded.
struct HostStream: ~Copyable {
    let descriptor: OwnedDescriptor
    private let peeksAtOffset: Bool
    private let isTCP: Bool
    /// Where the kernel would peek next.
    private var kernelOffset = 0

    /// Takes over a socket and prepares it for peeking.
    init(_ descriptor: consuming OwnedDescriptor, support: PeekOffsetSupport) {
        var family = AF_UNIX
        do {
            family = try Socket.localAddress(descriptor).family
        } catch {
            // A socket pair's end has no address worth asking for.
        }
        isTCP = family != AF_UNIX
        var supported = support.unix
        if family == AF_INET { supported = support.ipv4 }
        if family == AF_INET6 { supported = support.ipv6 }
        if supported {
            do {
                try Socket.set(descriptor, SOL_SOCKET, SO_PEEK_OFF, to: 0)
            } catch {
                supported = false
            }
        }
        if isTCP {
            do {
                // Urgent octets stay in their place: without this they leave a hole that offsets do
                // not count.
                try Socket.set(descriptor, SOL_SOCKET, SO_OOBINLINE, to: 1)
            } catch {
                // Every TCP socket has the option; without it only urgent data would suffer.
            }
        }
        peeksAtOffset = supported
        self.descriptor = descriptor
    }

    /// Copies octets that wait, and leaves them there.
    ///
    /// See recv(2), MSG_PEEK.
    ///
    /// - Parameters:
    ///   - offset: Octets to pass over.
    ///   - room: Where they go.
    ///   - scratch: Where octets go that have to be read over on kernels without SO_PEEK_OFF.
    /// - Returns: How many; 0 behind the stream's end, nil when nothing waits there yet.
    /// - Throws: `SystemError`, such as ECONNRESET.
    @inline(__always)
    mutating func peek(
        at offset: Int,
        into room: UnsafeMutableRawBufferPointer,
        scratch: PeekScratch
    ) throws(SystemError) -> Int? {
        guard peeksAtOffset else {
            return try peekOver(offset, into: room, scratch: scratch)
        }
        if kernelOffset != offset {
            try Socket.set(
                descriptor,
                SOL_SOCKET,
                SO_PEEK_OFF,
                to: Int32(truncatingIfNeeded: offset)
            )
            kernelOffset = offset
        }
        let count = try Socket.peek(descriptor, into: room)
        kernelOffset += count ?? 0
        return count
    }

    private func peekOver(
        _ offset: Int,
        into room: UnsafeMutableRawBufferPointer,
        scratch: PeekScratch
    ) throws(SystemError) -> Int? {
        let over = scratch.room(offset)
        var parts = (
            iovec(iov_base: over.baseAddress, iov_len: offset),
            iovec(iov_base: room.baseAddress, iov_len: room.count)
        )
        let number = descriptor.number
        let peeked = { () throws(SystemError) -> Int? in
            // Sound: a tuple of two equal structs is laid out as an array of two.
            try attempt("recvmsg") {
                withUnsafeMutableBytes(of: &parts) { parts in
                    var message = msghdr()
                    message.msg_iov = parts.assumingMemoryBound(to: iovec.self).baseAddress
                    message.msg_iovlen = 2
                    return recvmsg(number, &message, Int32(MSG_PEEK))
                }
            }
        }
        guard let count = try peeked() else { return nil }
        if count > offset { return count - offset }
        // Nothing behind the offset: the end, or not yet. Only the socket's state tells, and what
        // came between the two questions is in front of the end.
        guard hasEnded else { return nil }
        return max((try peeked() ?? 0) - offset, 0)
    }

    private var hasEnded: Bool {
        var state = pollfd(fd: descriptor.number, events: Int16(CLINUX_POLLRDHUP), revents: 0)
        return poll(&state, 1, 0) == 1
            && state.revents & Int16(Int32(CLINUX_POLLRDHUP) | POLLHUP) != 0
    }

    /// Throws away octets at the front.
    ///
    /// See recv(2), MSG_TRUNC.
    ///
    /// - Parameters:
    ///   - count: So many have been peeked at before.
    ///   - scratch: Where they go on a unix socket, which cannot discard in the kernel.
    /// - Throws: `SystemError`.
    @inline(__always)
    mutating func discard(_ count: Int, scratch: PeekScratch) throws(SystemError) {
        if isTCP {
            try Socket.discard(descriptor, count)
        } else {
            try Socket.skip(descriptor, count, over: scratch.room(1 << 16))
        }
        kernelOffset = max(kernelOffset - count, 0)
    }
}

/// Memory that nobody reads: where peeks over octets in flight put them.
final class PeekScratch {
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    deinit {
        buffer.deallocate()
    }

    /// At least so much room; grows to the largest flight ever asked for.
    func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if buffer.count < count {
            buffer.deallocate()
            buffer = .allocate(byteCount: max(count, 1 << 16), alignment: 64)
        }
        return buffer
    }
}
