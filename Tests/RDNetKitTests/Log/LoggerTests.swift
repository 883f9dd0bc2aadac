import Testing

@testable import RDNetKit

/// A sink with limited room.
private final class BoundedSink {
    var room: Int
    private(set) var octets: [UInt8] = []

    init(room: Int = .max) {
        self.room = room
    }

    func write(_ slice: ArraySlice<UInt8>) -> Int {
        let count = min(room, slice.count)
        octets += slice.prefix(count)
        room -= count
        return count
    }

    var lines: [String] {
        String(decoding: octets, as: UTF8.self).split(separator: "\n").map { String($0) }
    }
}

@Suite("logger")
struct LoggerTests {
    private let sink = BoundedSink()

    private func makeLogger(_ level: LogLevel = .info, _ format: LogFormat = .text) -> Logger {
        Logger(
            level: level,
            format: format,
            clock: { WallTime(seconds: 0, utcOffset: 0) },
            sink: sink.write
        )
    }

    @Test func `writes its level and above, and makes nothing of what is below`() {
        let logger = makeLogger(.warning)
        var made = 0
        func message(_ text: String) -> String {
            made += 1
            return text
        }
        logger.debug(message("d"), ["k": message("v")])
        logger.info(message("i"))
        logger.warning(message("w"))
        logger.error(message("e"))
        logger.log(.fatal, message("f"))
        #expect(made == 3)
        #expect(sink.lines.map { $0.suffix(5) } == ["msg=w", "msg=e", "msg=f"])
    }

    @Test func `a level that is changed counts from the next line`() {
        let logger = makeLogger(.info)
        logger.debug("before")
        logger.level = .debug
        logger.debug("after")
        #expect(sink.lines.count == 1)
        #expect(sink.lines.first?.hasSuffix("level=debug msg=after") == true)
    }

    @Test
    func `lines that find no room are counted, and the count is told with the next that does`() {
        let logger = makeLogger()
        sink.room = 0
        for _ in 0..<3 { logger.info("lost") }
        #expect(logger.droppedLines == 3)
        #expect(sink.lines.isEmpty)
        sink.room = .max
        logger.info("seen")
        #expect(sink.lines.count == 2)
        #expect(
            sink.lines.first?.hasSuffix("lines=3 cause=\"the reader was too slow\"") == true
        )
        #expect(sink.lines.last?.hasSuffix("msg=seen") == true)
        #expect(logger.droppedLines == 0)
    }

    @Test func `a line that fits in part is ended before another begins`() {
        let logger = makeLogger()
        sink.room = 30
        logger.info("first")
        logger.info("second")
        #expect(logger.droppedLines == 1)
        sink.room = .max
        logger.info("third")
        #expect(sink.lines.count == 3)
        #expect(sink.lines.first?.hasSuffix("msg=first") == true)
        #expect(sink.lines.dropFirst().first?.contains(" lines=1 ") == true)
        #expect(sink.lines.last?.hasSuffix("msg=third") == true)
    }

    @Test func `writes JSON when told to`() {
        makeLogger(.info, .json).info("ready", ["links": "2"])
        let expected = #"{"time":"1970-01-01T00:00:00Z","level":"info","msg":"ready","links":"2"}"#
        #expect(sink.lines == [expected])
    }
}
