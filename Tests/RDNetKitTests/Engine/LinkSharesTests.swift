import Testing

@testable import RDNetKit

private final class Member: IdleCandidate, LinkMember {
    let port: Int
    var lastUsed: Instant
    var queueIndex = 0

    init(_ port: Int, _ time: Int64) {
        self.port = port
        lastUsed = Instant(nanoseconds: time)
    }
}

@Suite("flows of several links at a limit")
struct LinkSharesTests {
    @Test func `a flood of one link takes none of the flows of others`() {
        var shares = LinkShares(limit: 100) { IdleQueue<Member>() }
        let quiet = (-1..<3).map { Member($0, 0) }
        for member in quiet { #expect(shares.append(member) == nil) }
        for time in 1...1_000 as ClosedRange<Int64> {
            let victim = shares.append(Member(7, time))?.flow
            #expect((victim == nil) == (time <= 96))
            // The flooding link's own idlest.
            if let victim { #expect(victim.port == 7 && victim.lastUsed.nanoseconds == time - 96) }
        }
        #expect(shares.count == 100)
        #expect(shares.next()?.flow.port == 7 && shares.next()?.linkCount == 96)
        // A second link gets room from the first, up to an equal share.
        for time in 2_000..<3_000 as Range<Int64> {
            #expect(shares.append(Member(1, time))?.flow.port == (time < 2_048 ? 7 : 1))
        }
    }

    @Test func `a link at its own limit loses its own idlest, however few flows there are`() {
        var shares = LinkShares(limit: 100, perLink: 3) { IdleQueue<Member>() }
        for time in 1...9 as ClosedRange<Int64> {
            #expect(shares.append(Member(Int(time) % 3, time)) == nil)
        }
        let victim = shares.append(Member(2, 10))
        #expect(victim?.flow.port == 2 && victim?.flow.lastUsed.nanoseconds == 2)
        #expect(victim?.isOverOwnLimit == true && victim?.maximum == 3)
        #expect(shares.count == 9)
    }

    @Test("the set equals a list that is searched", arguments: 0..<20)
    func equalsModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var shares = LinkShares(limit: 30) { IdleQueue<Member>() }
        var present: [Member] = []
        for time in 0..<2_000 as Range<Int64> {
            if Int.random(in: 0..<3, using: &random) == 0 {
                guard let member = present.randomElement(using: &random) else { continue }
                shares.remove(member)
                shares.remove(member)
                present.removeAll { $0 === member }
            } else {
                let member = Member(Int.random(in: -1..<4, using: &random), time)
                let counts = Dictionary(grouping: present, by: \.port).mapValues(\.count)
                let victim = shares.append(member)?.flow
                #expect((victim != nil) == (present.count == 30), "seed \(seed)")
                if let victim {
                    #expect(counts[victim.port] == counts.values.max(), "seed \(seed)")
                    let oldest = present.first { $0.port == victim.port }
                    #expect(victim === oldest, "seed \(seed)")
                    present.removeAll { $0 === victim }
                }
                present.append(member)
            }
            #expect(shares.count == present.count)
        }
    }
}

@Suite("two guests, one of which floods")
final class GuestFloodTests {
    private static let outside = IPAddress(ipv4: 0xc000_0201)

    private let scene: ScriptedGuest
    private let link = RecordingLink()
    private let address = IPAddress(ipv4: 0xc0a8_7f0a)
    private let mac = MACAddress(rawValue: 0x0200_0000_000a)

    init() throws {
        scene = try ScriptedGuest()
        link.receiver = scene.engine
        _ = scene.engine.ethernet.attach(link, now: scene.loop.now)
    }

    /// Sends a packet of the flooding guest.
    private func flood(_ transport: UInt8, to target: IPAddress, _ payload: [UInt8]) {
        var header = scene.header(transport, to: target)
        header.source = address
        var frame = scene.frame(header, payload)
        frame.replaceSubrange(6..<12, with: mac.octets)
        frame.withUnsafeBytes {
            scene.engine.receive(Frame($0), from: link, now: scene.clock.now)
        }
    }

    @Test func `the ping of the other one lives`() throws {
        let request = ScriptedGuest.icmp(.echoRequest, rest: 0x7777_0001, [])
        scene.send(scene.header(GuestWire.Transport.icmp, to: Self.outside), request)
        try #require(scene.engine.echo.count == 1)
        for number in 1...300 as ClosedRange<UInt32> {
            try scene.advance(.milliseconds(10))
            let rest = number << 16 | 1
            flood(
                GuestWire.Transport.icmp,
                to: Self.outside,
                ScriptedGuest.icmp(.echoRequest, rest: rest, [])
            )
        }
        #expect(scene.engine.echo.count == 256)
        #expect(scene.engine.echo.all.contains { $0.key.guest == ScriptedGuest.address })
    }
}
