internal import CLinux
internal import Glibc

/// Both directions of a byte stream: one socket, or a pipe or socket for each.
struct ByteStream: ~Copyable {
    /// What is read from, and written to as well unless `output` is there.
    let input: OwnedDescriptor
    /// What is written to when that is another descriptor than `input`.
    let output: OwnedDescriptor?
    /// Whether both are sockets, for which there are better calls than read(2) and write(2).
    private let areSockets: Bool

    /// A connected socket.
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

    /// Takes the program's standard input and output, and leaves /dev/null in their places.
    ///
    /// So nothing that prints can get between frames. A write to a pipe that nobody reads any more
    /// is an error from here on, and not the program's end (SIGPIPE).
    ///
    /// - Returns: The stream.
    /// - Throws: `SystemError` when they are neither pipes nor sockets.
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

    /// Asks for large buffers both ways; a pipe keeps its own.
    func enlargeBuffers(to size: Int32) {
        guard areSockets else { return }
        Socket.enlargeBuffers(input, to: size)
        switch output {
        case .some(let output): Socket.enlargeBuffers(output, to: size)
        case .none: break
        }
    }

    /// Reads; nil when nothing waits, 0 at the end.
    ///
    /// See recv(2), read(2).
    @inline(__always)
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int? {
        if areSockets { return try Socket.receive(input, into: buffer) }
        let number = input.number
        return try attempt("read") { read(number, buffer.baseAddress, buffer.count) }
    }

    /// Writes; nil when it would block.
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

    /// The descriptor that becomes writable when the stream takes more.
    var outputNumber: Int32 {
        switch output {
        case .some(let output): output.number
        case .none: input.number
        }
    }

    /// Ends both directions of sockets; pipes end when they are closed.
    func shutDown() {
        Socket.shutDownBoth(input)
        switch output {
        case .some(let output): Socket.shutDownBoth(output)
        case .none: break
        }
    }
}
