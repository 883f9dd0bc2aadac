/// The one logger: lines in logrus' form, to a sink that never makes the caller wait.
///
/// How it works: a line below the level costs a comparison. Any other is made into text and offered to the
/// sink, which takes as many octets as fit at once. A line that does not fit at all is dropped and counted;
/// the rest of one that fits in part is kept and goes first the next time, so that a reader never sees half a
/// line followed by another. The first line that fits after a loss is preceded by one that says how many
/// were lost. Clock and sink are closures: this type has neither a descriptor nor a clock of its own.
final class Logger {
    /// Takes octets for as long as that needs no waiting, and returns how many it took.
    typealias Sink = (ArraySlice<UInt8>) -> Int
    /// Opens the log file again, and returns why that failed; nil when it did not.
    typealias Reopening = () -> String?

    /// Lines below this level are not made.
    var level: LogLevel
    /// Lines that found no room since the last one that did.
    private(set) var droppedLines = 0

    private let format: LogFormat
    private let isColoured: Bool
    private let start: WallTime
    private let clock: () -> WallTime
    private let sink: Sink
    private let reopening: Reopening?
    /// The end of a line whose beginning the sink took.
    private var remainder: ArraySlice<UInt8> = []

    /// Makes a logger.
    ///
    /// - Parameters:
    ///   - level: The lowest level that is written; it can be changed later.
    ///   - format: How a line looks.
    ///   - isColoured: Whether text is in a terminal's colours; JSON never is.
    ///   - clock: The calendar, read once a line.
    ///   - sink: Where the octets go.
    ///   - reopening: Opens the sink's file again; nil when the sink is not a file.
    init(
        level: LogLevel = .info,
        format: LogFormat = .text,
        isColoured: Bool = false,
        clock: @escaping () -> WallTime,
        sink: @escaping Sink,
        reopening: Reopening? = nil
    ) {
        self.level = level
        self.format = format
        self.isColoured = isColoured
        self.clock = clock
        self.sink = sink
        self.reopening = reopening
        start = clock()
    }

    /// A logger whose lines go nowhere.
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

    /// Says one thing, if the level asks for it.
    ///
    /// - Parameters:
    ///   - level: How much it matters.
    ///   - message: A sentence's worth; made only when it is written.
    ///   - fields: What it is about, in the order in which it is to be read.
    func log(
        _ level: LogLevel,
        _ message: @autoclosure () -> String,
        _ fields: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        guard level >= self.level else { return }
        let time = clock()
        guard flushRemainder() else {
            droppedLines &+= 1
            return
        }
        var octets: [UInt8] = []
        if droppedLines > 0 { octets += lossReport(time) }
        let line = LogLine(time: time, level: level, message: message(), fields: fields())
        octets += rendered(line)
        let taken = sink(octets[...])
        if taken == 0 {
            droppedLines &+= 1
        } else {
            droppedLines = 0
            remainder = octets[taken...]
        }
    }

    /// Whether nothing is left of the line before.
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
                message: "log lines were dropped: the log's reader was slower than its writer",
                fields: ["lines": String(droppedLines)]
            )
        )
    }

    private func rendered(_ line: LogLine) -> [UInt8] {
        switch format {
        case .json: Array(line.json.utf8)
        case .text: Array((isColoured ? line.colouredText(since: start) : line.text).utf8)
        }
    }
}
