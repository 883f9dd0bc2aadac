/// Writes the records of a capture to a file, or to a named pipe or device, without ever waiting.
///
/// How it works: the output always ends with a whole record, so that an analyzer can read it at any
/// time. If a file cannot be written, for example because the disk is full, the half-written record
/// is removed, and writing continues with the next frames. The kernel's buffer of a pipe is the
/// only queue: a record that does not fit is dropped; one that fits in part is finished first. When
/// the reader of a named pipe closes it, the writer closes it, too, and tries to open it again with
/// later frames, so each new reader first receives the file header. Every lost frame is counted.
/// The log reports a loss at most once a minute, and the end of a reported loss.
final class CaptureWriter: ReadinessObserver {
    /// The time between two reports of lost frames.
    static let reportInterval: Duration = .seconds(60)
    /// The time between two attempts to find a reader of a named pipe.
    static let retryInterval: Duration = .milliseconds(250)

    private let path: String
    private let counters: CaptureCounters
    private let loop: EventLoop
    private let log: Logger
    /// Nil while no program reads the named pipe.
    private var output: CaptureDestination?
    private var needsHeader: Bool
    /// The rest of a record that a pipe accepted in part.
    private var remainder: ArraySlice<UInt8> = []
    /// Reports the end of a pipe's reader; it also waits for room while a record is cut.
    private var watch: EventLoop.Watch?
    private var nextAttempt: Instant
    private var nextReport: Instant
    /// Frames lost since the last report.
    private var unreported = 0
    private var hasReported = false
    /// Why frames are being lost; nil while they are written.
    private(set) var fault: String?

    /// Opens the output.
    ///
    /// - Parameters:
    ///   - path: The path of a file, a named pipe or a character device.
    ///   - appending: Whether to keep the file's content.
    ///   - counters: Counts lost frames.
    ///   - loop: Reports when a pipe has room for the rest of a record.
    ///   - log: Receives reports of lost frames.
    /// - Throws: `SystemError` when the output cannot be opened.
    init(
        _ path: String,
        appending: Bool,
        counters: CaptureCounters,
        loop: EventLoop,
        log: Logger
    ) throws(SystemError) {
        self.path = path
        self.counters = counters
        self.loop = loop
        self.log = log
        nextAttempt = loop.now
        nextReport = loop.now
        needsHeader = true
        do throws(SystemError) {
            let opened = try CaptureDestination(path, appending: appending)
            needsHeader = opened.isEmpty
            adopt(opened)
        } catch {
            guard error.isWithoutReader else { throw error }
            log.info("capture is waiting for a reader", ["file": path])
        }
        // An analyzer can read a file without frames, but not an empty one.
        if needsHeader, output?.isFile == true { write([], 0) }
    }

    /// Writes records.
    ///
    /// - Parameters:
    ///   - records: Whole records.
    ///   - frames: How many they are.
    func write(_ records: [UInt8], _ frames: Int) {
        let prefix = needsHeader ? CaptureFile.header() : []
        guard let output = output ?? reopened() else {
            return lose(frames, "no program reads the pipe")
        }
        finishRecord()
        guard self.output != nil, remainder.isEmpty else {
            return lose(frames, "the reader is too slow")
        }
        let octets = prefix + records
        let outcome = output.write(octets[...])
        if outcome.written == octets.count {
            needsHeader = false
            return reportEnd()
        }
        let kept = keepWholeRecords(octets[...], headed: prefix.count, outcome, output)
        lose(frames - kept, outcome.error.map { "\($0)" } ?? "the reader is too slow")
        if output.isFile { return }
        if outcome.error != nil { return closeOutput() }
        if let watch, !remainder.isEmpty { loop.change(watch, to: .writable) }
    }

    /// Stops the capture, after one attempt to write the rest of a record.
    func close() {
        finishRecord()
        closeOutput()
        if unreported > 0 {
            log.warning("capture lost frames", ["file": path, "frames": "\(counters.lostFrames)"])
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        if readiness.contains(.failed) { return closeOutput() }
        finishRecord()
    }

    // MARK: The output

    private func reopened() -> CaptureDestination? {
        guard loop.now >= nextAttempt else { return nil }
        nextAttempt = loop.now + Self.retryInterval
        do {
            adopt(try CaptureDestination(path, appending: true))
        } catch {
            return nil
        }
        return output
    }

    private func adopt(_ opened: CaptureDestination) {
        output = opened
        guard !opened.isFile else { return }
        do {
            watch = try loop.watch(opened.number, for: [], observer: self)
        } catch {
            // A device that cannot be watched receives the rest of a record with the next frame.
        }
    }

    private func closeOutput() {
        if let watch { loop.forget(watch) }
        watch = nil
        output = nil
        remainder = []
        needsHeader = true
        nextAttempt = loop.now + Self.retryInterval
    }

    /// Writes the rest of a record that a pipe accepted in part.
    private func finishRecord() {
        guard !remainder.isEmpty, let output else { return }
        let outcome = output.write(remainder)
        remainder = remainder.dropFirst(outcome.written)
        if outcome.error != nil { return closeOutput() }
        if remainder.isEmpty, let watch { loop.change(watch, to: []) }
    }

    /// Makes the output end with a whole record, now or as soon as a pipe has room.
    ///
    /// - Returns: The number of frames that are not lost.
    private func keepWholeRecords(
        _ octets: ArraySlice<UInt8>,
        headed headerLength: Int,
        _ outcome: CaptureDestination.Outcome,
        _ output: CaptureDestination
    ) -> Int {
        let records = octets.dropFirst(headerLength)
        let whole = CaptureFile.wholeRecords(
            in: records,
            within: max(0, outcome.written - headerLength)
        )
        let isHeaded = outcome.written >= headerLength
        let end = isHeaded ? headerLength + whole.octets : 0
        guard !output.isFile else {
            do {
                try output.removeLast(outcome.written - end)
                needsHeader = !isHeaded
            } catch {
                log.warning("capture has a damaged record", ["cause": "\(error)"])
            }
            return whole.records
        }
        guard outcome.written > end || (outcome.written > 0 && !isHeaded) else {
            needsHeader = outcome.written == 0 && needsHeader
            return whole.records
        }
        needsHeader = false
        let next = isHeaded ? headerLength + whole.nextEnd : headerLength
        remainder = octets.dropFirst(outcome.written).prefix(next - outcome.written)
        return whole.records + (isHeaded ? 1 : 0)
    }

    // MARK: Reports

    private func lose(_ frames: Int, _ cause: String) {
        guard frames > 0 else { return }
        fault = cause
        counters.lostFrames &+= UInt64(frames)
        unreported += frames
        if loop.now >= nextReport { report(cause) }
    }

    private func report(_ cause: String) {
        log.warning(
            "capture loses frames",
            ["file": path, "cause": cause, "frames": "\(unreported)"]
        )
        unreported = 0
        hasReported = true
        nextReport = loop.now + Self.reportInterval
    }

    private func reportEnd() {
        fault = nil
        guard hasReported else { return }
        hasReported = false
        log.info("capture continues", ["file": path, "lostFrames": "\(counters.lostFrames)"])
    }
}
