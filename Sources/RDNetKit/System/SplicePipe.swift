internal import CLinux
internal import Glibc

/// A pipe that moves bytes from socket to socket without copying them.
///
/// The kernel moves references to the pages that hold the bytes. See splice(2), pipe(7).
final class SplicePipe {
    /// The requested capacity; without privilege the pipe may get less.
    static let capacity = 1 << 20

    private let input: OwnedDescriptor
    private let output: OwnedDescriptor
    /// The number of pages that fit; a page may hold as little as one byte.
    private let slots: Int
    /// The number of bytes in the pipe.
    private(set) var count = 0

    init() throws(SystemError) {
        var numbers: [Int32] = [-1, -1]
        try systemCall("pipe2") { pipe2(&numbers, O_NONBLOCK | O_CLOEXEC) }
        output = OwnedDescriptor(adopting: numbers[0])
        input = OwnedDescriptor(adopting: numbers[1])
        // EPERM beyond `pipe-user-pages-soft`; a smaller pipe works too, but more slowly.
        _ = fcntl(numbers[1], CInt(CLINUX_F_SETPIPE_SZ), Int32(Self.capacity))
        slots = max(Int(fcntl(numbers[1], CInt(CLINUX_F_GETPIPE_SZ))) / 4096, 1)
    }

    /// Blocks SIGPIPE on this thread, because splice(2), unlike send(2), has no flag against it.
    static func blockBrokenPipeSignal() {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Moves bytes from a stream into the pipe.
    ///
    /// - Parameters:
    ///   - source: A stream socket.
    ///   - limit: The maximum number of bytes.
    /// - Returns: The number of bytes, and whether no more were waiting, as far as can be
    ///   determined; 0 at the end of the stream; nil when no data is waiting.
    /// - Throws: `SystemError`, such as ECONNRESET.
    func fill(
        from source: borrowing OwnedDescriptor,
        upTo limit: Int
    ) throws(SystemError) -> (count: Int, isAll: Bool)? {
        let moved = try Self.move(from: source.number, to: input.number, limit)
        guard let moved else { return nil }
        count += moved
        // At or above `slots` bytes, the number of pages may have been the limit.
        return (moved, moved < min(limit, slots))
    }

    /// Moves the contents to a socket; bytes that do not fit stay in the pipe.
    ///
    /// - Throws: `SystemError`: EPIPE or ECONNRESET when the peer has closed the connection.
    func drain(to sink: borrowing OwnedDescriptor) throws(SystemError) {
        while count > 0 {
            let moved = try Self.move(from: output.number, to: sink.number, count)
            guard let moved, moved > 0 else { return }
            count -= moved
        }
    }

    private static func move(
        from source: Int32,
        to sink: Int32,
        _ limit: Int
    ) throws(SystemError) -> Int? {
        let flags = UInt32(CLINUX_SPLICE_F_MOVE | CLINUX_SPLICE_F_NONBLOCK)
        return try attempt("splice") { splice(source, nil, sink, nil, limit, flags) }
    }
}
