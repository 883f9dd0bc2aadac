import Testing

@testable import RDNetKit

@Suite("limits that cut something off")
struct LimitLogTests {
    private final class Record {
        var lines: [String] = []
        var seconds: Int64 = 0
    }

    @Test func `each is counted always, and reported once a minute with its number`() {
        let record = Record()
        let log = Logger(clock: { WallTime(seconds: 0, utcOffset: 0) }) { octets in
            record.lines.append(String(decoding: octets, as: UTF8.self))
            return octets.count
        }
        let limits = LimitLog(log) { record.seconds }
        for second in 0..<60 as Range<Int64> {
            record.seconds = second
            limits.reached(.descriptors, maximum: 1_024)
        }
        #expect(record.lines.count == 1)
        #expect(record.lines[0].contains("level=warning msg=\"limit reached\" limit=descriptors"))
        #expect(record.lines[0].contains("maximum=1024 times=1 "))
        limits.reached(.leases, maximum: 253)
        #expect(record.lines.count == 2)
        record.seconds = 60
        limits.reached(.descriptors, maximum: 1_024)
        #expect(record.lines.count == 3)
        #expect(record.lines[2].contains("maximum=1024 times=60 "))
        #expect(limits.count(of: .descriptors) == 61)
        #expect(limits.count(of: .forwards) == 0)
    }
}
