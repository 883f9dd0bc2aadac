import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("capture writer")
struct CaptureWriterTests {
    private let directory = TemporaryDirectory()
    private let loop: EventLoop
    private let counters = CaptureCounters()
    private var path: String { directory.file("pipe") }

    init() throws {
        loop = try EventLoop()
        #expect(mkfifo(directory.file("pipe"), 0o600) == 0)
    }

    private let record =
        CaptureFile.recordHeader(microseconds: 1, length: 1_000)
        + [UInt8](repeating: 0x2e, count: 1_000)

    private func drain(_ reader: borrowing OwnedDescriptor) -> [UInt8] {
        var octets: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(reader.number, &buffer, buffer.count), count > 0 {
            octets += buffer[..<count]
        }
        return octets
    }

    private func openReader() throws -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("open") { open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) }
        )
    }

    private func makeWriter() throws -> CaptureWriter {
        try CaptureWriter(
            path,
            appending: false,
            counters: counters,
            loop: loop,
            log: .discarding()
        )
    }

    @Test func `a record that a full pipe has cut is finished before the next one`() throws {
        let reader = try openReader()
        let writer = try makeWriter()
        // More than PIPE_BUF, so that the kernel accepts a part.
        let records = 57
        let batch = (0..<records).flatMap { _ in record }
        var batches = 0
        while counters.lostFrames == 0 {
            writer.write(batch, records)
            batches += 1
        }
        writer.write(batch, records)
        var octets = drain(reader)
        #expect((octets.count - CaptureFile.headerLength) % record.count != 0, "nothing is cut")
        try loop.turn(waitingAtMost: .zero)
        writer.write(record, 1)
        octets += drain(reader)
        writer.close()
        let hasHeader = octets.starts(with: CaptureFile.header())
        #expect(hasHeader)
        let body = octets.dropFirst(CaptureFile.headerLength)
        let whole = CaptureFile.wholeRecords(in: body, within: body.count)
        #expect(whole.octets == body.count)
        #expect(whole.records + Int(counters.lostFrames) == (batches + 1) * records + 1)
        let isIntact = Array(body) == (0..<whole.records).flatMap { _ in record }
        #expect(isIntact)
    }

    @Test func `a new reader gets a file header, whatever the former one left`() throws {
        let writer = try makeWriter()
        for _ in 0..<2 {
            #expect(try readsFromTheStart(writer))
            // Without a reader, frames are lost.
            let former = counters.lostFrames
            let isAlone = try comesTrue {
                try loop.turn(waitingAtMost: .zero)
                writer.write(record, 1)
                return counters.lostFrames > former
            }
            #expect(isAlone)
        }
        writer.close()
    }

    /// Whether a new reader gets a header and a record.
    private func readsFromTheStart(_ writer: CaptureWriter) throws -> Bool {
        let reader = try openReader()
        var octets: [UInt8] = []
        return try comesTrue {
            try loop.turn(waitingAtMost: .zero)
            writer.write(record, 1)
            octets += drain(reader)
            return octets.starts(with: CaptureFile.header() + record)
        }
    }
}
