internal import CLinux
internal import Glibc

/// A pipe through which octets pass from socket to socket without being copied.
///
/// The kernel moves references to the pages that the octets lie in. See splice(2), pipe(7).
final class SplicePipe {
    /// What the pipe is asked to hold; without privilege it may be less.
    static let capacity = 1 << 20

    private let input: OwnedDescriptor
    private let output: OwnedDescriptor
    /// Pages that fit, of which each holds at least one octet.
    private let slots: Int
    /// Octets inside.
    private(set) var count = 0

    init() throws(SystemError) {
        var numbers: [Int32] = [-1, -1]
        try systemCall("pipe2") { pipe2(&numbers, O_NONBLOCK | O_CLOEXEC) }
        output = OwnedDescriptor(adopting: numbers[0])
        input = OwnedDescriptor(adopting: numbers[1])
        // EPERM beyond `pipe-user-pages-soft`: smaller ones do as well, more slowly.
        _ = fcntl(numbers[1], CInt(CLINUX_F_SETPIPE_SZ), Int32(Self.capacity))
        slots = max(Int(fcntl(numbers[1], CInt(CLINUX_F_GETPIPE_SZ))) / 4096, 1)
    }

    /// Blocks SIGPIPE on this thread: unlike send(2), splice(2) cannot be told not to raise it.
    static func blockBrokenPipeSignal() {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Takes octets out of a stream.
    ///
    /// - Parameters:
    ///   - source: A stream socket.
    ///   - limit: At most so many.
    /// - Returns: How many, and whether that was all that waited, as far as can be told; 0 at the
    ///   stream's end; nil when none wait.
    /// - Throws: `SystemError`, such as ECONNRESET.
    func fill(
        from source: borrowing OwnedDescriptor,
        upTo limit: Int
    ) throws(SystemError) -> (count: Int, isAll: Bool)? {
        let moved = try Self.move(from: source.number, to: input.number, limit)
        guard let moved else { return nil }
        count += moved
        // With more the pipe's pages may have been the limit.
        return (moved, moved < min(limit, slots))
    }

    /// Gives a socket what is inside; octets that do not fit stay.
    ///
    /// - Throws: `SystemError`: EPIPE or ECONNRESET when the peer is gone.
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
