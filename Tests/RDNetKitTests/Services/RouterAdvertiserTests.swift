import Testing

@testable import RDNetKit

@Suite("router advertiser")
struct RouterAdvertiserTests {
    private static let start = Instant(nanoseconds: 1_000_000_000_000)
    private static let guest = IPAddress.linkLocal(of: .standardGuest)

    private static func advertiser(
        isDefaultRouter: Bool = true,
        domains: [String] = ["lan"],
        seed: UInt64 = 1
    ) -> RouterAdvertiser {
        RouterAdvertiser(
            RouterAdvertiser.Configuration(
                prefix: .standard,
                mtu: 1500,
                gatewayMAC: .standardGateway,
                resolvers: [IPv6Prefix.standard.address(1)],
                searchDomains: domains
            ),
            isDefaultRouter: isDefaultRouter,
            random: SeededRandom(seed: seed),
            now: start
        )
    }

    /// An advertiser whose first advertisements are long past.
    private static func quiet(seed: UInt64) -> (RouterAdvertiser, Instant) {
        var advertiser = advertiser(seed: seed)
        for _ in 0..<5 { _ = advertiser.transmissions(now: advertiser.nextDeadline) }
        let next = advertiser.nextDeadline
        return (advertiser, next + .seconds(-150))
    }

    @Test func `RFC 4861 4.2 and RFC 8106: an advertisement has every parameter`() {
        var advertiser = Self.advertiser()
        let expected = octets(
            """
            86 00 00 00 40 c0 07 08 00 00 00 00 00 00 00 00 \
            01 01 5a 94 ef e4 0c dd \
            03 04 40 c0 00 27 8d 00 00 09 3a 80 00 00 00 00 \
            fd c0 a8 7f 00 00 00 00 00 00 00 00 00 00 00 00 \
            05 01 00 00 00 00 05 dc \
            19 03 00 00 00 00 07 08 fd c0 a8 7f 00 00 00 00 00 00 00 00 00 00 00 01 \
            1f 02 00 00 00 00 07 08 03 6c 61 6e 00 00 00 00
            """
        )
        let transmissions = advertiser.transmissions(now: Self.start)
        #expect(transmissions.map(\.octets) == [expected])
        #expect(transmissions.map(\.destination) == [.allNodes])
        #expect(transmissions.map { "\($0.destinationMAC)" } == ["33:33:00:00:00:01"])
        #expect(advertiser.transmissions(now: Self.start).isEmpty)
    }

    @Test func `the gateway is a default router only while the host has a route`() {
        var advertiser = Self.advertiser(isDefaultRouter: false)
        let lifetimes = { (transmissions: [RouterAdvertiser.Transmission]) in
            transmissions.map { Int($0.octets[6]) << 8 | Int($0.octets[7]) }
        }
        #expect(lifetimes(advertiser.transmissions(now: Self.start)) == [0])
        advertiser.setDefaultRouter(true, now: Self.start + .seconds(1))
        #expect(advertiser.nextDeadline == Self.start + .seconds(3))
        #expect(lifetimes(advertiser.transmissions(now: Self.start + .seconds(3))) == [1800])
        advertiser.setDefaultRouter(true, now: Self.start + .seconds(10))
        #expect(advertiser.nextDeadline > Self.start + .seconds(10))
        advertiser.setDefaultRouter(false, now: Self.start + .seconds(10))
        #expect(lifetimes(advertiser.transmissions(now: Self.start + .seconds(10))) == [0])
    }

    @Test("RFC 4861 6.2.4: three at short intervals, then every few minutes", arguments: 0..<20)
    func intervals(seed: UInt64) {
        var advertiser = Self.advertiser(seed: seed)
        var times: [Instant] = []
        for _ in 0..<12 {
            times.append(advertiser.nextDeadline)
            let transmissions = advertiser.transmissions(now: advertiser.nextDeadline)
            #expect(transmissions.map(\.destination) == [.allNodes])
        }
        let intervals = zip(times.dropFirst(), times).map { $0 - $1 }
        #expect(times.first == Self.start)
        #expect(intervals.prefix(2).allSatisfy { $0 <= .seconds(16) && $0 >= .seconds(3) })
        let rest = intervals.dropFirst(2)
        #expect(rest.allSatisfy { (.seconds(198)...(.seconds(600))).contains($0) })
        #expect(Set(rest).count > 3)
    }

    @Test("RFC 4861 6.2.6: a solicitation is answered within half a second", arguments: 0..<50)
    func solicitation(seed: UInt64) {
        var (advertiser, now) = Self.quiet(seed: seed)
        advertiser.solicited(by: Self.guest, .standardGuest, now: now)
        let due = advertiser.nextDeadline
        #expect(due >= now && due <= now + .milliseconds(500))
        #expect(advertiser.transmissions(now: due + .nanoseconds(-1)).isEmpty)
        advertiser.solicited(by: Self.guest, .standardGuest, now: now)
        let answers = advertiser.transmissions(now: due)
        #expect(answers.map(\.destination) == [Self.guest])
        #expect(answers.map(\.destinationMAC) == [.standardGuest])
        #expect(advertiser.transmissions(now: now + .seconds(1)).isEmpty)
    }

    @Test("RFC 4861 6.2.6: three seconds separate two advertisements to all", arguments: 0..<50)
    func distance(seed: UInt64) {
        var (advertiser, now) = Self.quiet(seed: seed)
        var random = SeededRandom(seed: seed)
        var last: Instant?
        let end = now + .seconds(120)
        while now < end {
            if Int.random(in: 0..<4, using: &random) == 0 {
                let mac = MACAddress(
                    rawValue: 0x0200_0000_0000 + .random(in: 0...9, using: &random)
                )
                advertiser.solicited(by: .anyIPv6, mac, now: now)
                let latest = max(now, last.map { $0 + .seconds(3) } ?? now) + .milliseconds(500)
                #expect(advertiser.nextDeadline <= latest)
            }
            for transmission in advertiser.transmissions(now: now) {
                #expect(transmission.destination == .allNodes)
                if let last { #expect(now - last >= .seconds(3)) }
                last = now
            }
            now = now + .milliseconds(50)
        }
        #expect(last != nil)
    }

    @Test func `a new link hears an advertisement as early as permitted`() {
        var (advertiser, now) = Self.quiet(seed: 3)
        advertiser.announce(now: now)
        #expect(advertiser.nextDeadline == now)
        #expect(advertiser.transmissions(now: now).count == 1)
        advertiser.announce(now: now + .seconds(1))
        #expect(advertiser.nextDeadline == now + .seconds(3))
    }

    @Test func `many solicitors are answered with one advertisement to all`() {
        var (advertiser, now) = Self.quiet(seed: 2)
        for number in 0..<1000 as Range<UInt64> {
            let mac = MACAddress(rawValue: 0x0200_0000_0000 + number)
            advertiser.solicited(by: .linkLocal(of: mac), mac, now: now)
        }
        var answers: [RouterAdvertiser.Transmission] = []
        while advertiser.nextDeadline <= now + .seconds(1) {
            answers += advertiser.transmissions(now: advertiser.nextDeadline)
        }
        #expect(answers.count <= RouterAdvertiser.maximumSolicitors + 1)
        #expect(answers.contains { $0.destination == .allNodes })
    }

    @Test func `RFC 4861 6.2.5: the last advertisement ends the use of router and servers`() {
        let farewell = Self.advertiser().farewell()
        #expect(farewell.destination == .allNodes)
        #expect(Array(farewell.octets[6..<8]) == [0, 0])
        let resolvers = farewell.octets[64..<72]
        #expect(Array(resolvers) == [25, 3, 0, 0, 0, 0, 0, 0])
    }

    @Test func `a long search list is cut to what fits the smallest MTU`() {
        let domains = (0..<80).map { "department-\($0).example.com" }
        var advertiser = Self.advertiser(domains: domains)
        let counts = advertiser.transmissions(now: Self.start).map(\.octets.count)
        #expect(counts.allSatisfy { (1000...1240).contains($0) } && counts.count == 1)
    }
}
