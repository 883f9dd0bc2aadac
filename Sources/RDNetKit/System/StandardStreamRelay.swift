internal import CLinux
internal import Glibc

/// The reason why a relay of the standard streams ended early.
enum StandardStreamFailure: Error, Equatable {
    /// The peer reset the connection, or closed it before it received everything.
    case cut
    /// The program's own input or output failed.
    case local(SystemError)
}

/// A relay between the standard streams and a stream socket, for a program that does nothing else.
///
/// How it works: the relay waits in poll(2), which unlike epoll(7) also supports files and
/// terminals. Each direction passes on the bytes of one read before it reads again, so a slow
/// reader slows its writer. The relay does not change the modes of the standard streams, because
/// other programs may share them: after poll(2) a read does not block, nor does a write of
/// `PIPE_BUF` bytes to a pipe. The relay passes on each end of stream separately. It ends after
/// both, or when the peer closes before that.
struct StandardStreamRelay: ~Copyable {
    /// The results of poll(2) for each descriptor.
    private struct Ready {
        var input: Int16
        var output: Int16
        var socket: Int16
    }

    /// Bytes in transit in one direction.
    private struct Direction {
        let room = ReceiveBuffer()
        var waiting = 0..<0
        /// Whether the source has reached its end.
        var hasEnded = false

        var isOver: Bool { hasEnded && waiting.isEmpty }
        /// Whether it can read more.
        var isOpen: Bool { !hasEnded && waiting.isEmpty }

        /// The bytes that are waiting to be written.
        var octets: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: room.memory[waiting])
        }

        mutating func took(_ count: Int) {
            waiting = 0..<count
            if count == 0 { hasEnded = true }
        }

        mutating func gave(_ count: Int) {
            waiting = (waiting.lowerBound + count)..<waiting.upperBound
        }
    }

    private let socket: OwnedDescriptor
    private let outputKind: mode_t
    private var up = Direction()
    private var down = Direction()
    private var outputFailure: SystemError?
    /// Whether the socket stopped accepting input.
    private var isCut = false
    /// The number of bytes received from the socket.
    private(set) var received: UInt64 = 0
    /// The number of bytes sent to the socket.
    private(set) var sent: UInt64 = 0

    /// Creates a relay for a connected socket.
    init(_ socket: consuming OwnedDescriptor) {
        self.socket = socket
        var status = stat()
        outputKind = fstat(STDOUT_FILENO, &status) == 0 ? status.st_mode & S_IFMT : 0
    }

    /// Relays until both directions have ended.
    ///
    /// - Throws: `StandardStreamFailure` when a direction ended early.
    mutating func run() throws(StandardStreamFailure) {
        // A closed reader is an error, and must not end the program.
        signal(SIGPIPE, SIG_IGN)
        while !up.isOver || !down.isOver {
            let ready = try wait()
            if ready.input != 0 { try readInput() }
            if !up.waiting.isEmpty, ready.socket != 0 { try writeSocket() }
            if down.isOpen, ready.socket != 0 { try readSocket() }
            if !down.waiting.isEmpty, ready.output != 0 { writeOutput() }
            if let outputFailure, ready.input == 0, up.waiting.isEmpty {
                throw .local(outputFailure)
            }
            // The peer closes both directions only after it has received our end of stream, or when
            // the connection is cut.
            let isClosed = Int32(ready.socket) & (POLLHUP | POLLERR) != 0
            if isClosed, down.isOver, !up.isOver { throw .cut }
        }
        if isCut { throw .cut }
        if let outputFailure { throw .local(outputFailure) }
    }

    /// Waits until a stream is ready.
    private func wait() throws(StandardStreamFailure) -> Ready {
        let fromSocket = (down.isOpen ? POLLIN : 0) | (up.waiting.isEmpty ? 0 : POLLOUT)
        // poll(2) would report a closed socket repeatedly while the relay waits for a slow output.
        let isSocketAsked = fromSocket != 0 || down.isOver
        var requests = [
            pollfd(fd: up.isOpen ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
            pollfd(
                fd: down.waiting.isEmpty ? -1 : STDOUT_FILENO,
                events: Int16(POLLOUT),
                revents: 0
            ),
            pollfd(
                fd: isSocketAsked ? socket.number : -1,
                events: Int16(fromSocket),
                revents: 0
            ),
        ]
        // Once the output has failed, only input that is already waiting is still sent.
        let limit: Int32 = outputFailure != nil && up.waiting.isEmpty ? 0 : -1
        do {
            try systemCall("poll") { poll(&requests, nfds_t(requests.count), limit) }
        } catch {
            throw .local(error)
        }
        return Ready(
            input: requests[0].revents,
            output: requests[1].revents,
            socket: requests[2].revents
        )
    }

    // MARK: Up

    private mutating func readInput() throws(StandardStreamFailure) {
        let memory = up.room.memory
        do {
            let count = try attempt("standard input") {
                read(STDIN_FILENO, memory.baseAddress, memory.count)
            }
            guard let count else { return }
            up.took(count)
        } catch {
            throw .local(error)
        }
        if up.isOver { Socket.shutDownSending(socket) }
    }

    private mutating func writeSocket() throws(StandardStreamFailure) {
        do {
            let count = try Socket.send(socket, up.octets) ?? 0
            up.gave(count)
            sent += UInt64(count)
        } catch {
            // Data that the peer sent before it closed can still be read.
            up.took(0)
            isCut = true
        }
    }

    // MARK: Down

    private mutating func readSocket() throws(StandardStreamFailure) {
        do {
            guard let count = try Socket.receive(socket, into: down.room.memory) else { return }
            received += UInt64(count)
            down.took(count)
            if outputFailure != nil { down.waiting = 0..<0 }
        } catch {
            throw .cut
        }
        if down.isOver { endOutput() }
    }

    private mutating func writeOutput() {
        let octets = down.octets
        do {
            let count: Int?
            switch outputKind {
            case S_IFSOCK:
                count = try attempt("standard output") {
                    send(
                        STDOUT_FILENO,
                        octets.baseAddress,
                        octets.count,
                        Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
                    )
                }
            case S_IFREG:
                count = try attempt("standard output") {
                    write(STDOUT_FILENO, octets.baseAddress, octets.count)
                }
            default:
                // A ready pipe accepts this much (PIPE_BUF) at once.
                count = try attempt("standard output") {
                    write(STDOUT_FILENO, octets.baseAddress, min(octets.count, 4_096))
                }
            }
            down.gave(count ?? 0)
        } catch {
            outputFailure = error
            down.waiting = 0..<0
        }
        if down.isOver { endOutput() }
    }

    /// Ends the output for its reader, while the input may continue.
    private func endOutput() {
        shutdown(STDOUT_FILENO, Int32(SHUT_WR))
        let nothing = open("/dev/null", O_WRONLY | O_CLOEXEC)
        guard nothing >= 0 else { return }
        dup2(nothing, STDOUT_FILENO)
        _ = close(nothing)
    }
}
