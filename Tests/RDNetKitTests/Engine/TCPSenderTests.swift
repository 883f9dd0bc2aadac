import Testing

@testable import RDNetKit

@Suite("TCP sender")
struct TCPSenderTests {
    private func header(
        _ acknowledgment: SequenceNumber,
        window: Int = 65_535,
        sequence: UInt32 = 1,
        blocks: [SACKBlock] = []
    ) -> TCPHeader {
        var header = TCPHeader(
            sourcePort: 1,
            destinationPort: 2,
            sequence: SequenceNumber(sequence),
            acknowledgment: acknowledgment,
            flags: .ack,
            window: UInt16(window)
        )
        header.options.sackBlocks = blocks
        return header
    }

    private func sender(_ first: SequenceNumber, window: Int = 65_535) -> TCPSender {
        TCPSender(
            first: first,
            window: window,
            windowSequence: SequenceNumber(0),
            segmentSize: 1000
        )
    }

    @Test(
        "a lossy peer gets everything, and nothing it reported is sent twice",
        arguments: [UInt64](1...60)
    )
    func model(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let first = SequenceNumber(UInt32.random(in: .min ... .max, using: &random))
        let loss = Int.random(in: 0..<30, using: &random)
        let total = Int.random(in: 1...60, using: &random) * 1000
        let reportsSACK = Bool.random(using: &random)
        var sender = sender(first)
        var now = Instant(nanoseconds: 1_000_000_000)
        var arrived = [Bool](repeating: false, count: total + 1)
        var reported: Set<Int> = []
        var contiguous = 0
        var rounds = 0
        while !sender.isFinished, rounds < 20_000 {
            rounds += 1
            var segments: [Range<Int>] = []
            while let range = sender.nextResend() {
                let start = range.start - first
                let end = min(range.end - first, start + 1000)
                #expect(start >= sender.unacknowledged - first && end <= sender.next - first)
                #expect(reported.isDisjoint(with: start..<end), "the guest has it")
                segments.append(start..<end)
                sender.resent(end - start, now: now)
            }
            while sender.allowance > 0, sender.end == nil {
                let start = sender.next - first
                let count = min(sender.allowance, 1000, total - start)
                guard count > 0 else {
                    sender.streamEnded()
                    segments.append(total..<(total + 1))
                    sender.sent(1, now: now)
                    break
                }
                segments.append(start..<(start + count))
                sender.sent(count, now: now)
            }
            #expect(sender.inFlight <= 65_535 + 1)
            now = now + .milliseconds(10)
            for segment in segments where Int.random(in: 0..<100, using: &random) >= loss {
                for index in segment { arrived[index] = true }
                while contiguous <= total, arrived[contiguous] { contiguous += 1 }
                guard Int.random(in: 0..<100, using: &random) >= loss else { continue }
                let blocks = reportsSACK ? Self.blocks(arrived, contiguous, first) : []
                for block in blocks {
                    reported.formUnion((block.start - first)..<(block.end - first))
                }
                let before = sender.unacknowledged
                let verdict = sender.receive(
                    header(first + contiguous, blocks: blocks),
                    window: 65_535,
                    isBare: true,
                    now: now
                )
                #expect(verdict != .impossible && verdict != .ancient)
                #expect(sender.unacknowledged >= before)
            }
            #expect((sender.timeout != nil) == (sender.inFlight > 0))
            if segments.isEmpty, let timeout = sender.timeout {
                now = max(now, timeout)
                sender.timedOut(now: now)
                // After a timeout the sender must not rely on SACK (RFC 2018, 8).
                reported = []
            }
        }
        #expect(sender.isFinished)
        #expect(contiguous == total + 1)
        #expect(sender.timeout == nil)
    }

    private static func blocks(
        _ arrived: [Bool],
        _ contiguous: Int,
        _ first: SequenceNumber
    ) -> [SACKBlock] {
        var blocks: [SACKBlock] = []
        var index = contiguous
        while index < arrived.count, blocks.count < 4 {
            guard arrived[index] else {
                index += 1
                continue
            }
            let start = index
            while index < arrived.count, arrived[index] { index += 1 }
            blocks.append(SACKBlock(start: first + start, end: first + index))
        }
        return blocks
    }

    @Test func `an old segment does not bring an old window back (RFC 9293, 3.10.7.4)`() {
        let first = SequenceNumber(100)
        let now = Instant(nanoseconds: 0)
        var sender = sender(first)
        _ = sender.receive(header(first, sequence: 50), window: 5000, isBare: true, now: now)
        #expect(sender.window == 5000)
        _ = sender.receive(header(first, sequence: 49), window: 9, isBare: true, now: now)
        #expect(sender.window == 5000)
        _ = sender.receive(header(first, sequence: 50), window: 6000, isBare: true, now: now)
        #expect(sender.window == 6000)
    }

    @Test(
        "hostile SACK blocks are ignored",
        arguments: [(5, 1), (0, 50_000), (-50, 500), (3000, 9999), (2, 2)]
    )
    func hostileBlocks(start: Int, end: Int) {
        let first = SequenceNumber(0xffff_ff00)
        let now = Instant(nanoseconds: 0)
        var sender = sender(first)
        sender.sent(3000, now: now)
        let block = SACKBlock(start: first + start, end: first + end)
        for _ in 0..<2 {
            _ = sender.receive(
                header(first, blocks: [block]),
                window: 65_535,
                isBare: true,
                now: now
            )
        }
        #expect(sender.nextResend() == nil)
    }

    @Test func `the timeout follows RFC 6298`() {
        var estimator = RoundTripEstimator()
        #expect(estimator.timeout == .seconds(1))
        estimator.measured(.milliseconds(100))
        // SRTT 100 ms, RTTVAR 50 ms.
        #expect(estimator.timeout == .milliseconds(300))
        estimator.measured(.milliseconds(100))
        // RTTVAR 37.5 ms.
        #expect(estimator.timeout == .milliseconds(250))
        estimator.backOff()
        #expect(estimator.timeout == .milliseconds(500))
        for _ in 0..<40 { estimator.backOff() }
        #expect(estimator.timeout == .seconds(60))
        estimator.answered()
        #expect(estimator.timeout == .milliseconds(250))
    }
}
