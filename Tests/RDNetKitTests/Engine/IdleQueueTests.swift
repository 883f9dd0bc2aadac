import Testing

@testable import RDNetKit

private final class Candidate: IdleCandidate {
    var lastUsed: Instant
    var queueIndex = 0

    init(_ time: Int64) {
        lastUsed = Instant(nanoseconds: time)
    }
}

@Suite("idle queue")
struct IdleQueueTests {
    @Test("the longest-idle flow gives way, whatever was used in between", arguments: 0..<20)
    func exactOrder(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var queue = IdleQueue<Candidate>(limit: 50)
        var present: [Candidate] = []
        for time in 0..<2_000 as Range<Int64> {
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                present.randomElement(using: &random)?.lastUsed = Instant(nanoseconds: time)
            case 1:
                guard let flow = present.randomElement(using: &random) else { continue }
                queue.remove(flow)
                present.removeAll { $0 === flow }
            default:
                let oldest = present.min { $0.lastUsed < $1.lastUsed }
                let flow = Candidate(time)
                let victim = queue.append(flow)
                #expect(victim === (present.count == 50 ? oldest : nil), "seed \(seed)")
                present.removeAll { $0 === victim }
                present.append(flow)
            }
            #expect(queue.count == present.count)
        }
    }
}
