internal import CLinux
internal import Glibc

/// Streams whose octets stay in the kernel until somebody else has them.
extension Socket {
    /// Copies octets that wait, and leaves them there; nil when none waits, 0 at the stream's end.
    ///
    /// See recv(2), MSG_PEEK.
    @inline(__always)
    static func peek(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> Int? {
        try receive(descriptor, into: buffer, flags: Int32(MSG_PEEK))
    }

    /// Takes octets that were peeked at out of a stream of any family.
    ///
    /// - Parameters:
    ///   - descriptor: The stream.
    ///   - count: So many have been peeked at before.
    ///   - scratch: Where they go: a unix socket cannot throw them away in the kernel.
    /// - Throws: `SystemError`: a socket that failed loses what it has shown.
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

    /// Throws away octets at the front of a TCP stream.
    ///
    /// See tcp(7), MSG_TRUNC.
    ///
    /// - Parameters:
    ///   - descriptor: A TCP socket.
    ///   - count: So many have been peeked at before.
    /// - Throws: `SystemError`: a socket that failed loses what it has shown.
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
