internal import CLinux
internal import Glibc

/// Both directions of a byte stream: one socket, or a pipe or socket for each direction.
struct ByteStream: ~Copyable {
    /// The descriptor for reading, and for writing too if `output` is nil.
    let input: OwnedDescriptor
    /// The descriptor for writing, if it is not `input`.
    let output: OwnedDescriptor?
    /// Whether both are sockets, for which recv(2) and send(2) are better than read(2) and
    /// write(2).
    private let areSockets: Bool

    /// Creates a stream from a connected socket.
    init(_ socket: consuming OwnedDescriptor) {
        input = socket
        output = nil
        areSockets = true
    }

    private init(_ input: consuming OwnedDescriptor, _ output: consuming OwnedDescriptor) {
        areSockets = Self.isSocket(input) && Self.isSocket(output)
        self.input = input
        self.output = .some(consume output)
    }

    /// Takes over standard input and output, and puts /dev/null in their places.
    ///
    /// So no output of other code can get between frames. From here on SIGPIPE is ignored: a write
    /// to a pipe without a reader fails instead of ending the program.
    ///
    /// - Returns: The stream.
    /// - Throws: `SystemError`: EINVAL if either is neither a pipe nor a socket.
    static func standardStreams() throws(SystemError) -> ByteStream {
        let input = try take(STDIN_FILENO, "standard input")
        let output = try take(STDOUT_FILENO, "standard output")
        signal(SIGPIPE, SIG_IGN)
        return ByteStream(input, output)
    }

    private static func take(_ number: Int32, _ name: String) throws(SystemError) -> OwnedDescriptor
    {
        var status = stat()
        guard fstat(number, &status) == 0, [S_IFIFO, S_IFSOCK].contains(status.st_mode & S_IFMT)
        else {
            throw SystemError(call: "\(name) is neither a pipe nor a socket", errno: EINVAL)
        }
        let copy = try systemCall(name) { fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) }
        let descriptor = OwnedDescriptor(adopting: copy)
        let mode = try systemCall(name) { fcntl(copy, F_GETFL) }
        try systemCall(name) { fcntl(copy, F_SETFL, mode | O_NONBLOCK) }
        let nothing = OwnedDescriptor(
            adopting: try systemCall("/dev/null") { open("/dev/null", O_RDWR | O_CLOEXEC) }
        )
        let source = nothing.number
        try systemCall(name) { dup2(source, number) }
        return descriptor
    }

    private static func isSocket(_ descriptor: borrowing OwnedDescriptor) -> Bool {
        var status = stat()
        return fstat(descriptor.number, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    /// Requests large buffers in both directions; a pipe keeps its size.
    func enlargeBuffers(to size: Int32) {
        guard areSockets else { return }
        Socket.enlargeBuffers(input, to: size)
        switch output {
        case .some(let output): Socket.enlargeBuffers(output, to: size)
        case .none: break
        }
    }

    /// Reads bytes; returns nil if none wait, 0 at the end of the stream.
    ///
    /// See recv(2), read(2).
    @inline(__always)
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int? {
        if areSockets { return try Socket.receive(input, into: buffer) }
        let number = input.number
        return try attempt("read") { read(number, buffer.baseAddress, buffer.count) }
    }

    /// Writes bytes; returns nil if the call would block.
    ///
    /// See send(2), write(2).
    @inline(__always)
    func send(_ buffer: UnsafeRawBufferPointer) throws(SystemError) -> Int? {
        guard areSockets else {
            let number = outputNumber
            return try attempt("write") { write(number, buffer.baseAddress, buffer.count) }
        }
        switch output {
        case .some(let output): return try Socket.send(output, buffer)
        case .none: return try Socket.send(input, buffer)
        }
    }

    /// The descriptor that becomes writable when the stream accepts more data.
    var outputNumber: Int32 {
        switch output {
        case .some(let output): output.number
        case .none: input.number
        }
    }

    /// Whether the peer has closed the stream, even if some of its data is still unread.
    var hasEnded: Bool { Socket.hasEnded(input) }

    /// Makes the kernel notice within seconds that the peer's machine is gone.
    func probePeer() {
        if areSockets { Socket.probePeerNow(input) }
    }

    /// Shuts down both directions of sockets; pipes end when they are closed.
    func shutDown() {
        Socket.shutDownBoth(input)
        switch output {
        case .some(let output): Socket.shutDownBoth(output)
        case .none: break
        }
    }
}
