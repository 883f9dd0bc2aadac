/// Turns the capture of a running network on and off.
final class CaptureSwitch {
    /// The path of the capture file.
    let path: String
    let counters = CaptureCounters()
    private let ethernet: VirtualEthernet
    private let loop: EventLoop
    private let log: Logger
    private var writer: CaptureWriter?
    /// Whether this process has already started the file; if so, a new capture appends to it.
    private var hasBegun = false

    /// Creates a switch that is off.
    init(_ path: String, ethernet: VirtualEthernet, loop: EventLoop, log: Logger) {
        self.path = path
        self.ethernet = ethernet
        self.loop = loop
        self.log = log
    }

    var isOn: Bool { ethernet.capture != nil }

    /// Starts the capture; does nothing if it already runs.
    ///
    /// - Throws: `SystemError` when the file cannot be opened.
    func start() throws(SystemError) {
        guard !isOn else { return }
        let writer = try CaptureWriter(
            path,
            appending: hasBegun,
            counters: counters,
            loop: loop,
            log: log
        )
        self.writer = writer
        // The capture's last write may come after this object's end.
        ethernet.capture = FrameCapture(
            wallClock: WallClock.microseconds,
            write: writer.write
        )
        hasBegun = true
        log.info("capture started", ["file": path])
    }

    /// Stops the capture, after writing all pending records.
    func stop() {
        guard isOn else { return }
        ethernet.capture?.flush()
        ethernet.capture = nil
        writer?.close()
        writer = nil
        log.info("capture stopped", ["file": path])
    }
}
