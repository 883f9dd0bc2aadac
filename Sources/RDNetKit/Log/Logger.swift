/// The logger: lines in logrus's format, to a sink that never blocks the caller.
///
/// How it works: a line below the level costs one comparison. Any other is formatted and offered to
/// the sink, which accepts as many bytes as fit. A line that does not fit at all is dropped and
/// counted. The rest of a line that fits in part is kept and sent first the next time, so a reader
/// never sees half a line followed by another. After a loss, the next line that fits is preceded by
/// one that reports how many were lost. Clock and sink are closures: this type owns neither a
/// descriptor nor a clock.
final class Logger {
    /// Accepts bytes without blocking and returns how many it accepted.
    typealias Sink = (ArraySlice<UInt8>) -> Int
    /// Opens the log file again, and returns why that failed; nil when it did not.
    typealias Reopening = () -> String?
    /// Returns why the sink did not accept a line.
    typealias Cause = () -> String

    /// Lines below this level are not formatted.
    var level: LogLevel
    /// The sink's descriptor at this moment, which a child process needs to log; nil without one.
    let descriptor: () -> Int32?
    /// Called after the file was opened again, so that another process does the same.
    var hasReopened: (() -> Void)?
    /// Lines dropped since the last one that fit.
    private(set) var droppedLines = 0

    private let format: LogFormat
    private let isColored: Bool
    private let start: WallTime
    private let clock: () -> WallTime
    private let sink: Sink
    private let lossCause: Cause
    private let reopening: Reopening?
    /// The rest of a line that the sink accepted in part.
    private var remainder: ArraySlice<UInt8> = []

    /// Makes a logger.
    ///
    /// - Parameters:
    ///   - level: The lowest level that is written; it can be changed later.
    ///   - format: The format of a line.
    ///   - isColored: Whether text uses terminal colors; JSON never does.
    ///   - clock: The wall clock, read once per line.
    ///   - sink: Where the octets go.
    ///   - lossCause: Why the sink accepted nothing the last time.
    ///   - reopening: Opens the sink's file again; nil when the sink is not a file.
    ///   - descriptor: The sink's descriptor.
    init(
        level: LogLevel = .info,
        format: LogFormat = .text,
        isColored: Bool = false,
        clock: @escaping () -> WallTime,
        sink: @escaping Sink,
        lossCause: @escaping Cause = { "the reader was too slow" },
        reopening: Reopening? = nil,
        descriptor: @escaping () -> Int32? = { nil }
    ) {
        self.level = level
        self.format = format
        self.isColored = isColored
        self.clock = clock
        self.sink = sink
        self.lossCause = lossCause
        self.reopening = reopening
        self.descriptor = descriptor
        start = clock()
    }

    /// A logger that discards everything.
    static func discarding() -> Logger {
        Logger(level: .fatal, clock: { WallTime(seconds: 0, utcOffset: 0) }, sink: { $0.count })
    }

    /// Whether lines go to a file that can be opened again.
    var hasFile: Bool { reopening != nil }

    /// Opens the log file again, as log rotation asks for.
    func reopen() {
        guard let reopening else { return }
        // What is left of a line belongs in the file that has its beginning, or nowhere.
        _ = flushRemainder()
        remainder = []
        if let cause = reopening() {
            warning("cannot reopen the log file; lines go to the old one", ["cause": cause])
        } else {
            info("log file reopened")
        }
        hasReopened?()
    }

    /// Opens the log file again after the process that rotated it was reported to another logger.
    func follow() {
        _ = reopening?()
    }

    func debug(
        _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.debug, message(), fields())
    }

    func info(
        _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.info, message(), fields())
    }

    func warning(
        _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.warning, message(), fields())
    }

    func error(
        _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.error, message(), fields())
    }

    /// Logs one line if its level is enabled.
    ///
    /// - Parameters:
    ///   - level: The severity.
    ///   - message: The event; evaluated only if the line is written.
    ///   - fields: Details, in reading order.
    /// Writes a line whose fields are known only at run time.
    func log(
        _ level: LogLevel,
        _ message: @autoclosure () -> String,
        fields: @autoclosure () -> [(key: String, value: String)]
    ) {
        guard level >= self.level else { return }
        write(level, message(), fields())
    }

    func log(
        _ level: LogLevel,
        _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        guard level >= self.level else { return }
        write(level, message(), Array(fields()))
    }

    /// Logs the values of counters at level info, each as a field.
    ///
    /// - Parameters:
    ///   - message: The event.
    ///   - fields: Details that precede the values.
    ///   - group: The counters; fields are named like the members of `/stats`, `framesSent`.
    func info(
        _ message: String,
        _ fields: KeyValuePairs<String, String> = [:],
        counters group: any MetricGroup
    ) {
        guard level <= .info else { return }
        let values = group.samples.map { (key: $0.fieldName, value: String($0.value)) }
        write(.info, message, Array(fields) + values)
    }

    private func write(
        _ level: LogLevel,
        _ message: String,
        _ fields: [(key: String, value: String)]
    ) {
        let time = clock()
        guard flushRemainder() else {
            droppedLines &+= 1
            return
        }
        var octets: [UInt8] = []
        if droppedLines > 0 { octets += lossReport(time) }
        let line = LogLine(time: time, level: level, message: message, fields: fields)
        octets += rendered(line)
        let taken = sink(octets[...])
        if taken == 0 {
            droppedLines &+= 1
        } else {
            droppedLines = 0
            remainder = octets[taken...]
        }
    }

    /// Whether the previous line is complete.
    private func flushRemainder() -> Bool {
        if remainder.isEmpty { return true }
        remainder = remainder.dropFirst(sink(remainder))
        return remainder.isEmpty
    }

    private func lossReport(_ time: WallTime) -> [UInt8] {
        rendered(
            LogLine(
                time: time,
                level: .warning,
                message: "log lines were dropped",
                fields: [(key: "lines", value: String(droppedLines)), ("cause", lossCause())]
            )
        )
    }

    private func rendered(_ line: LogLine) -> [UInt8] {
        switch format {
        case .json: Array(line.json.utf8)
        case .text: Array((isColored ? line.coloredText(since: start) : line.text).utf8)
        }
    }
}
