import Testing

@testable import RDNetKit

@Suite("leases of guests on different links")
struct LeaseFairnessTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private let day: Duration = .seconds(86_400)
    private let flooder = 1
    private let other = 2
    private let third = 3

    private func holder(_ number: UInt64) -> LeasePool.Holder {
        let mac = MACAddress(rawValue: 0x0200_0000_0000 + number)
        return LeasePool.Holder(client: .hardware(mac), hardwareAddress: mac)
    }

    private func pool(_ text: String, fixed: [MACAddress: IPAddress] = [:]) throws -> LeasePool {
        let subnet = try #require(Subnet(text))
        return LeasePool(
            subnet: subnet,
            reserved: [subnet.host(1), subnet.host(-2)],
            fixed: fixed
        )
    }

    /// Leases an address to a new client; returns nil if it gets none.
    private func lease(
        _ pool: inout LeasePool,
        _ number: UInt64,
        on link: Int,
        at now: Instant? = nil
    ) -> IPAddress? {
        let (holder, now) = (holder(number), now ?? start)
        guard let address = pool.offer(to: holder, on: link, requested: nil, now: now),
            pool.bind(address, to: holder, on: link, for: day, now: now)
        else { return nil }
        return address
    }

    @Test func `a guest that leases every address loses some to a guest on another link`() throws {
        var pool = try pool("10.0.0.0/24")
        var taken: [IPAddress] = []
        for number in 0..<500 as Range<UInt64> {
            let now = start + .seconds(Int64(number))
            if let address = lease(&pool, number, on: flooder, at: now) { taken.append(address) }
        }
        #expect(taken.count == 252)
        let later = start + .seconds(1_000)
        // The oldest goes first.
        #expect(lease(&pool, 1_000, on: other, at: later) == taken[0])
        #expect(lease(&pool, 1_001, on: other, at: later) == taken[1])
        #expect(lease(&pool, 600, on: flooder, at: later) == nil)
        #expect(pool.holder(of: taken[0], now: later) == holder(1_000).hardwareAddress)
        #expect(pool.leases(now: later).count == 252)
    }

    @Test func `offers go before leases`() throws {
        var pool = try pool("10.0.0.0/29")
        for number in 1...3 as ClosedRange<UInt64> { _ = lease(&pool, number, on: flooder) }
        let offered = pool.offer(to: holder(4), on: flooder, requested: nil, now: start)
        #expect(offered != nil)
        #expect(lease(&pool, 9, on: other) == offered)
    }

    @Test func `addresses that were declined do not keep others from a lease`() throws {
        var pool = try pool("10.0.0.0/29")
        for number in 1...4 as ClosedRange<UInt64> {
            let address = try #require(lease(&pool, number, on: flooder))
            let isDeclined = pool.decline(address, by: holder(number), now: start)
            #expect(isDeclined)
        }
        #expect(lease(&pool, 9, on: other) != nil)
        #expect(lease(&pool, 8, on: flooder) == nil)
    }

    @Test func `links with equal shares keep them`() throws {
        var pool = try pool("10.0.0.0/29")
        for number in 1...2 as ClosedRange<UInt64> {
            #expect(lease(&pool, number, on: flooder) != nil)
            #expect(lease(&pool, 10 + number, on: other) != nil)
        }
        let before = pool.leases(now: start).map(\.0)
        #expect(lease(&pool, 3, on: flooder) == nil)
        #expect(lease(&pool, 13, on: other) == nil)
        #expect(pool.leases(now: start).map(\.0) == before)
        #expect(lease(&pool, 23, on: third) != nil)
    }

    @Test func `a reserved address is never given up`() throws {
        let mac = holder(1).hardwareAddress
        let address = try #require(IPAddress("10.0.0.2"))
        var pool = try pool("10.0.0.0/29", fixed: [mac: address])
        for number in 1...4 as ClosedRange<UInt64> { _ = lease(&pool, number, on: flooder) }
        for number in 11...14 as ClosedRange<UInt64> { _ = lease(&pool, number, on: other) }
        #expect(pool.holder(of: address, now: start) == mac)
        #expect(pool.leases(now: start).contains { $0.0 == address && $0.1 == mac })
    }

    @Test func `a full table in a large network is shared the same way`() throws {
        var pool = try pool("10.0.0.0/8")
        for number in 0..<UInt64(LeasePool.capacity) {
            #expect(lease(&pool, number, on: flooder) != nil)
        }
        let wish = IPAddress("10.99.0.1")
        let newcomer = holder(1 << 20)
        #expect(pool.offer(to: newcomer, on: other, requested: wish, now: start) == wish)
        #expect(pool.offer(to: holder(1 << 21), on: flooder, requested: wish, now: start) == nil)
    }

    @Test func `an address that a guest on another link uses is not leased, except to its owner`()
        throws
    {
        let mac = holder(1).hardwareAddress
        let (reserved, used) = (
            try #require(IPAddress("10.0.0.2")), try #require(IPAddress("10.0.0.3"))
        )
        var pool = try pool("10.0.0.0/24", fixed: [mac: reserved])
        pool.isUsedElsewhere = { [third] address, link in
            (address == reserved || address == used) && link != third
        }
        #expect(pool.offer(to: holder(5), on: other, requested: used, now: start) != used)
        let isBound = pool.bind(used, to: holder(6), on: other, for: day, now: start)
        #expect(!isBound)
        #expect(lease(&pool, 7, on: other) != used)
        #expect(lease(&pool, 1, on: other) == reserved)
        #expect(pool.offer(to: holder(8), on: third, requested: used, now: start) == used)
    }

    @Test func `a guest cannot change another guest's lease in its name`() throws {
        let scene = try DHCPServerScene()
        let (victim, attacker) = (holder(1).hardwareAddress, holder(2).hardwareAddress)
        scene.server.link = { [flooder, other] in $0 == victim ? other : flooder }
        var attempts = 0
        scene.server.impersonated = { attempts += 1 }
        let address = try #require(try scene.lease(to: victim))
        let request = DHCPServerScene.message(
            .request,
            from: victim,
            requesting: "192.168.127.77"
        )
        #expect(scene.response(to: request, sender: attacker) == nil)
        let discover = DHCPServerScene.message(.discover, from: victim)
        #expect(scene.response(to: discover, sender: attacker) == nil)
        #expect(attempts == 2)
        let lease = scene.server.leases(now: scene.now).first { $0.1 == victim }
        #expect(lease.map { "\($0.0)" } == address)
    }
}
