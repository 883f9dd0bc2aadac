internal import CLinux
internal import Glibc

/// Peeking at streams: the bytes stay in the kernel until another receiver has them.
extension Socket {
    /// Copies waiting bytes without removing them; nil when none is waiting, 0 at the end of the
    /// stream.
    ///
    /// See recv(2), MSG_PEEK.
    @inline(__always)
    static func peek(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> Int? {
        try receive(descriptor, into: buffer, flags: Int32(MSG_PEEK))
    }

    /// Removes peeked bytes from a stream of any family.
    ///
    /// - Parameters:
    ///   - descriptor: The stream.
    ///   - count: The number of bytes, all peeked at before.
    ///   - scratch: Receives the bytes, because the kernel cannot discard them on a unix socket.
    /// - Throws: `SystemError`; a failed socket loses the peeked bytes.
    static func skip(
        _ descriptor: borrowing OwnedDescriptor,
        _ count: Int,
        over scratch: UnsafeMutableRawBufferPointer
    ) throws(SystemError) {
        var remaining = count
        while remaining > 0 {
            let room = scratch[..<min(remaining, scratch.count)]
            let taken = try receive(descriptor, into: UnsafeMutableRawBufferPointer(rebasing: room))
            guard let taken, taken > 0 else {
                throw SystemError(call: "recv", errno: ECONNRESET)
            }
            remaining -= taken
        }
    }

    /// Discards bytes at the front of a TCP stream.
    ///
    /// See tcp(7), MSG_TRUNC.
    ///
    /// - Parameters:
    ///   - descriptor: A TCP socket.
    ///   - count: The number of bytes, all peeked at before.
    /// - Throws: `SystemError`; a failed socket loses the peeked bytes.
    @inline(__always)
    static func discard(
        _ descriptor: borrowing OwnedDescriptor,
        _ count: Int
    ) throws(SystemError) {
        let number = descriptor.number
        var remaining = count
        while remaining > 0 {
            let taken = try attempt("recv(MSG_TRUNC)") {
                recv(number, nil, remaining, Int32(MSG_TRUNC))
            }
            guard let taken, taken > 0 else {
                throw SystemError(call: "recv(MSG_TRUNC)", errno: ECONNRESET)
            }
            remaining -= taken
        }
    }
}
