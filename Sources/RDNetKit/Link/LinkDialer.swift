/// Connects a guest to the host: yields a stream that carries frames, or the reason why it failed.
///
/// An HTTP request to gvproxy's API asks for frames, but gvproxy never answers it, so nothing shows
/// when gvproxy has switched to frames. It discards bytes that arrive in one read with the request;
/// a frame cut there would ruin all frames after it. The dialer therefore waits a moment before it
/// hands over the stream, and sends nothing until then.
final class LinkDialer: ReadinessObserver {
    /// The pause between the request and the first frame.
    static let pause: Duration = .milliseconds(100)
    /// The time limit for connecting.
    static let patience: Duration = .seconds(10)

    /// The callbacks for the result; exactly one of them is called, once.
    struct Outcome {
        /// Receives the stream.
        var connected: (consuming OwnedDescriptor) -> Void
        /// Receives the reason for the failure.
        var failed: (String) -> Void
    }

    private let address: LinkAddress
    private let loop: EventLoop
    private let outcome: Outcome
    private var socket: OwnedDescriptor?
    private var watch: EventLoop.Watch?
    private var timer: TimerWheel.Token?
    private var program: ChildProcess?

    /// Creates a dialer that does nothing yet.
    ///
    /// - Parameters:
    /// - address: An address that `canBeCalled`.
    /// - loop: The event loop.
    /// - outcome: Receives the result, possibly before `start` returns.
    init(_ address: LinkAddress, loop: EventLoop, outcome: Outcome) {
        self.address = address
        self.loop = loop
        self.outcome = outcome
    }

    /// Starts connecting.
    func start() {
        do throws(SystemError) {
            if case .program(let path, let arguments) = address {
                return outcome.connected(try run(path, arguments))
            }
            let dialed = try LinkOpener.dial(address)
            let (number, isConnected) = (dialed.descriptor.number, dialed.isConnected)
            socket = .some(dialed.descriptor)
            if isConnected { return try connected() }
            watch = try loop.watch(number, for: .writable, observer: self)
            timer = loop.after(Self.patience) { [weak self] _ in
                self?.fail("no answer within \(Self.patience)")
            }
        } catch {
            fail("\(error)")
        }
    }

    /// Cancels the connect and terminates the program that was run for it; a stream that was handed
    /// over stays open.
    func close() {
        release()
        socket = nil
        program?.terminate()
        program = nil
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        release()
        do throws(SystemError) {
            let code: Int32 =
                switch socket {
                case .some(let socket): Socket.takeError(socket)
                case .none: 0
                }
            guard code == 0 else { return fail(SystemError.message(code)) }
            try connected()
        } catch {
            fail("\(error)")
        }
    }

    private func connected() throws(SystemError) {
        guard case .connect(_, let path) = address else { return handOn() }
        let request = Self.request(for: path)
        let count: Int? =
            switch socket {
            case .some(let socket): try Socket.send(socket, request)
            case .none: nil
            }
        guard count == request.count else { return fail("it does not accept the request") }
        timer = loop.after(Self.pause) { [weak self] _ in self?.handOn() }
    }

    /// The same bytes that gvforwarder sends.
    private static func request(for path: String) -> [UInt8] {
        let lines = [
            "POST \(path) HTTP/1.1", "Host: ", "User-Agent: Go-http-client/1.1",
            "Content-Length: 0", "", "",
        ]
        return Array(lines.joined(separator: "\r\n").utf8)
    }

    private func handOn() {
        release()
        if let stream = socket.take() { outcome.connected(stream) }
    }

    private func fail(_ reason: String) {
        close()
        outcome.failed(reason)
    }

    private func release() {
        if let watch { loop.forget(watch) }
        watch = nil
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    /// Runs a program whose standard input and output are the other end of the stream.
    private func run(_ path: String, _ arguments: [String]) throws(SystemError) -> OwnedDescriptor {
        let pair = try Socket.pair()
        try pair.other.setBlocking()
        let number = pair.other.number
        program = try ChildProcess(
            ChildProcess.Command(
                path: path,
                arguments: arguments,
                environment: ProcessEnvironment.all,
                descriptors: [number, number, nil],
                leadsGroup: true
            ),
            on: loop
        ) { _, _ in
            // Ignored: the stream ends with the program.
        }
        return pair.one
    }
}
