internal import CLinux
internal import Glibc

/// The socket families that can peek at an offset (SO_PEEK_OFF): unix since Linux 3.4, TCP over
/// IPv4 since 6.10, over IPv6 since 6.12.
struct PeekOffsetSupport: Equatable {
    var unix: Bool
    var ipv4: Bool
    var ipv6: Bool

    /// No family: each peek re-reads data that is still in flight.
    static let none = PeekOffsetSupport(unix: false, ipv4: false, ipv6: false)

    /// Queries the kernel with one temporary socket per family.
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

/// The host's end of a flow: a stream socket that keeps data until the guest acknowledges it.
///
/// A read peeks at an offset from the first byte that has not been discarded; acknowledged bytes
/// are discarded. After the peer has closed its sending side, a peek past the last byte returns 0,
/// even while earlier bytes wait to be discarded.
struct HostStream: ~Copyable {
    let descriptor: OwnedDescriptor
    private let peeksAtOffset: Bool
    private let isTCP: Bool
    /// The offset of the kernel's next peek.
    private var kernelOffset = 0

    /// Creates a stream from a socket and prepares the socket for peeking.
    init(_ descriptor: consuming OwnedDescriptor, support: PeekOffsetSupport) {
        var family = AF_UNIX
        do {
            family = try Socket.localAddress(descriptor).family
        } catch {
            // The end of a socket pair has no useful address.
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
                // Keeps urgent bytes in the stream: otherwise they leave a hole that offsets do not
                // count.
                try Socket.set(descriptor, SOL_SOCKET, SO_OOBINLINE, to: 1)
            } catch {
                // Every TCP socket has the option; without it, only urgent data would suffer.
            }
        }
        peeksAtOffset = supported
        self.descriptor = descriptor
    }

    /// Copies waiting bytes without removing them.
    ///
    /// See recv(2), MSG_PEEK.
    ///
    /// - Parameters:
    ///   - offset: The number of bytes to skip.
    ///   - room: The destination.
    ///   - scratch: Takes the skipped bytes on kernels without SO_PEEK_OFF.
    /// - Returns: The number of bytes copied; 0 past the end of the stream, nil if none wait there
    ///   yet.
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
        // Nothing after the offset: either the end, or no data yet. Only the socket's state tells
        // them apart. Data that arrived between the two checks comes before the end, so peek again.
        guard hasEnded else { return nil }
        return max((try peeked() ?? 0) - offset, 0)
    }

    private var hasEnded: Bool {
        Socket.hasEnded(descriptor)
    }

    /// Discards bytes at the front.
    ///
    /// See recv(2), MSG_TRUNC.
    ///
    /// - Parameters:
    ///   - count: The number of bytes, all of them peeked at before.
    ///   - scratch: Takes the bytes on a unix socket, which cannot discard in the kernel.
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

/// Memory that is never read: it takes the bytes that a peek or a discard skips.
final class PeekScratch {
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    deinit {
        buffer.deallocate()
    }

    /// Returns at least the requested memory; the buffer grows to the largest request so far.
    func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if buffer.count < count {
            buffer.deallocate()
            buffer = .allocate(byteCount: max(count, 1 << 16), alignment: 64)
        }
        return buffer
    }
}
