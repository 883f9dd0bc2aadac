/// Turns the capture of a running network on and off.
final class CaptureSwitch {
    /// The file that frames go to.
    let path: String
    private let ethernet: VirtualEthernet
    private let log: Logger
    /// Whether this process has begun the file: switched on again, the capture goes on there.
    private var hasBegun = false

    /// Makes a switch that is off.
    init(_ path: String, ethernet: VirtualEthernet, log: Logger) {
        self.path = path
        self.ethernet = ethernet
        self.log = log
    }

    var isOn: Bool { ethernet.capture != nil }

    /// Begins the capture; one that runs goes on.
    ///
    /// - Throws: `SystemError` when the file cannot be opened.
    func start() throws(SystemError) {
        guard !isOn else { return }
        let file = try CaptureDestination(path, appending: hasBegun)
        ethernet.capture = FrameCapture(
            continuing: hasBegun,
            wallClock: WallClock.microseconds
        ) { octets in file.write(octets) }
        hasBegun = true
        log.info("capture started", ["file": path])
    }

    /// Ends the capture, all of it written.
    func stop() {
        guard isOn else { return }
        ethernet.capture?.flush()
        ethernet.capture = nil
        log.info("capture stopped", ["file": path])
    }
}
