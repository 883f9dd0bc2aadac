/// Turns the capture of a running network on and off.
final class CaptureSwitch {
    /// The path of the capture file.
    let path: String
    let counters = CaptureCounters()
    private let ethernet: VirtualEthernet
    private let log: Logger
    /// Whether this process has already started the file; if so, a new capture appends to it.
    private var hasBegun = false

    /// Creates a switch that is off.
    init(_ path: String, ethernet: VirtualEthernet, log: Logger) {
        self.path = path
        self.ethernet = ethernet
        self.log = log
    }

    var isOn: Bool { ethernet.capture != nil }

    /// Starts the capture; does nothing if it already runs.
    ///
    /// - Throws: `SystemError` when the file cannot be opened.
    func start() throws(SystemError) {
        guard !isOn else { return }
        let file = try CaptureDestination(path, appending: hasBegun)
        // The capture's last write may come after this object's end.
        var hasFailed = false
        ethernet.capture = FrameCapture(
            continuing: hasBegun,
            wallClock: WallClock.microseconds
        ) { [counters, log, path] octets, frames in
            do throws(SystemError) {
                try file.write(octets)
            } catch {
                counters.lostFrames &+= UInt64(frames)
                if !hasFailed {
                    log.warning("capture loses frames", ["file": path, "cause": "\(error)"])
                }
                hasFailed = true
            }
        }
        hasBegun = true
        log.info("capture started", ["file": path])
    }

    /// Stops the capture, after writing all pending records.
    func stop() {
        guard isOn else { return }
        ethernet.capture?.flush()
        ethernet.capture = nil
        log.info("capture stopped", ["file": path])
    }
}
