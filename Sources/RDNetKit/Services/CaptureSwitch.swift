/// Turns the capture of a running network to a file on and off.
final class CaptureSwitch {
    /// Why a capture was not started, in one sentence.
    struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    /// The usual path of the capture file.
    let usualPath: String
    /// The absolute path of the current or the latest capture file.
    private(set) var path: String
    let counters = CaptureCounters()
    private let ethernet: VirtualEthernet
    private let loop: EventLoop
    private let log: Logger
    private var writer: CaptureWriter?
    /// The files that this process has started; a new capture appends to them.
    private var begun: Set<String> = []
    private var end: TimerWheel.Token?

    /// Creates a switch that is off.
    init(_ path: String, ethernet: VirtualEthernet, loop: EventLoop, log: Logger) {
        usualPath = ProcessEnvironment.absolutePath(path)
        self.path = usualPath
        self.ethernet = ethernet
        self.loop = loop
        self.log = log
    }

    var isOn: Bool { writer != nil }
    /// The frames that the current or the latest capture has written.
    private(set) var written: UInt64 = 0
    /// Why the current capture loses frames; nil if it does not.
    var fault: String? { writer?.fault }

    /// Starts the capture to the usual file; does nothing if one runs.
    ///
    /// - Throws: `SystemError` when the file cannot be opened.
    func start() throws(SystemError) {
        guard !isOn else { return }
        try start(usualPath, .everything)
    }

    /// Starts a capture that a client of the API has described.
    ///
    /// - Parameters:
    ///   - file: An absolute path; nil for the usual one. This program replaces no other file.
    ///   - wish: What to capture.
    /// - Throws: `Refusal` if a capture runs, or if the file is another program's;
    ///   `SystemError` when it cannot be opened.
    func start(_ file: String?, wishing wish: CaptureWish) throws {
        if isOn { throw Refusal(description: "a capture to \(path) runs; end it first") }
        let path = file ?? usualPath
        if file != nil, path != usualPath, !begun.contains(path) {
            guard path.hasPrefix("/") else {
                throw Refusal(
                    description: "file: \"\(path)\" is not valid; expected an absolute path"
                )
            }
            guard FileIdentity(at: path, followsLink: false) == nil else {
                throw Refusal(description: "\(path): it exists; expected the path of a new file")
            }
        }
        do throws(SystemError) {
            try start(path, wish)
        } catch {
            guard error.isPermissionDenied, path != usualPath else { throw error }
            throw Refusal(
                description: "\(error); the sandbox allows no other file than that of --capture, "
                    + "but rdnet ctl capture - writes to a pipe"
            )
        }
    }

    private func start(_ path: String, _ wish: CaptureWish) throws(SystemError) {
        let writer = try CaptureWriter(
            path,
            appending: begun.contains(path),
            counters: counters,
            loop: loop,
            log: log
        )
        self.writer = writer
        self.path = path
        written = 0
        var wish = wish
        // The capture's last write may come after this object's end.
        ethernet.capture = FrameCapture(
            wallClock: WallClock.microseconds,
            taking: { [weak self] frame in
                guard wish.wants(frame) else { return false }
                wish.took(frame)
                self?.written &+= 1
                if wish.isMet { self?.endSoon() }
                return true
            },
            write: writer.write
        )
        begun.insert(path)
        log.info("capture started", ["file": path])
    }

    /// Ends a capture that has all that it wants, but not inside of its own work.
    private func endSoon() {
        guard end == nil else { return }
        end = loop.after(.zero) { [weak self] _ in self?.stop() }
    }

    /// Stops the capture, after writing all pending records.
    func stop() {
        if let end { loop.cancel(end) }
        end = nil
        guard isOn else { return }
        ethernet.capture?.flush()
        ethernet.capture = nil
        writer?.close()
        writer = nil
        log.info("capture stopped", ["file": path])
    }
}
