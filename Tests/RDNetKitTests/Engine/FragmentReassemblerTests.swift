import Testing

@testable import RDNetKit

@Suite("reassembly of IPv4 packets")
struct FragmentReassemblerTests {
    private var reassembler = FragmentReassembler()
    private let start = Instant(nanoseconds: 1_000_000_000)

    private mutating func receive(
        _ range: Range<Int>,
        last: Bool = false,
        now: Instant? = nil
    ) -> FragmentReassembler.Outcome {
        var header = IPHeader(
            transport: IPProtocol.udp,
            source: ScriptedGuest.address,
            destination: ScriptedGuest.gateway,
            payloadLength: range.count,
            identification: 7
        )
        header.fragmentOffset = range.lowerBound
        header.moreFragments = !last
        let octets = range.map { UInt8(truncatingIfNeeded: $0) }
        return octets.withUnsafeBytes { reassembler.receive(header, $0, now: now ?? start) }
    }

    @Test mutating func `the pieces become the packet, in any order`() {
        let outcomes = [receive(16..<24), receive(24..<27, last: true), receive(0..<8)]
        #expect(outcomes == [.waiting, .waiting, .waiting])
        let whole = receive(8..<16)
        guard case .complete(let header, let octets) = whole else {
            Issue.record("\(whole)")
            return
        }
        #expect(header.fragmentOffset == 0 && header.identification == 7)
        #expect(octets == (0..<27).map { UInt8($0) })
        #expect(reassembler.isEmpty)
    }

    @Test mutating func `a packet has 65,515 octets behind its header at most (RFC 791, 3.1)`() {
        let outcomes = [
            receive(65_504..<65_512), receive(65_512..<65_516, last: true),
            receive(65_512..<65_520), receive(65_512..<65_515, last: true),
        ]
        #expect(outcomes == [.waiting, .discarded, .discarded, .waiting])
    }

    @Test mutating func `another end, before the first or behind it, is no end of this packet`() {
        for other in [8..<16, 32..<40] {
            let outcomes = [receive(24..<32, last: true), receive(other, last: true)]
            #expect(outcomes == [.waiting, .discarded], "\(other)")
            #expect(reassembler.isEmpty)
        }
    }

    @Test mutating func `an end in front of a piece that is here ends the packet`() {
        let outcomes = [receive(32..<40), receive(24..<32, last: true)]
        #expect(outcomes == [.waiting, .discarded])
        #expect(reassembler.isEmpty)
    }

    @Test mutating func `an exact duplicate is harmless, every other overlap ends the packet`() {
        let (first, again) = (receive(8..<24), receive(8..<24))
        #expect(first == .waiting && again == .waiting)
        for overlap in [8..<16, 8..<32, 0..<16, 16..<24, 16..<32, 0..<32] {
            _ = receive(8..<24)
            let outcome = receive(overlap)
            #expect(outcome == .discarded, "\(overlap)")
            #expect(reassembler.isEmpty)
        }
    }

    @Test mutating func `thirty seconds behind its first piece a packet is given up`() {
        _ = receive(0..<8)
        _ = receive(16..<24, now: start + .seconds(29))
        #expect(reassembler.nextDeadline == start + .seconds(30))
        let early = reassembler.expire(now: start + .milliseconds(29_999))
        let due = reassembler.expire(now: start + .seconds(30))
        #expect(early.isEmpty && due.count == 1 && reassembler.isEmpty)
        #expect(due.first??.payload == (0..<8).map { UInt8($0) })
    }
}
