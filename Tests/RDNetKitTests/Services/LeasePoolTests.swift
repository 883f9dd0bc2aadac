import Testing

@testable import RDNetKit

@Suite("lease pool")
struct LeasePoolTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func holder(_ number: UInt64) -> LeasePool.Holder {
        let mac = MACAddress(rawValue: number)
        return LeasePool.Holder(client: .hardware(mac), hardwareAddress: mac)
    }

    private func pool(_ subnet: String, fixed: [MACAddress: IPAddress] = [:]) throws -> LeasePool {
        let subnet = try #require(Subnet(subnet))
        return LeasePool(
            subnet: subnet,
            reserved: [subnet.host(1), subnet.host(-2)],
            fixed: fixed
        )
    }

    @Test func `an offer is kept for a minute, then given to whoever comes`() throws {
        var pool = try pool("10.0.0.0/29")
        for number in 1...4 as ClosedRange<UInt64> {
            #expect(pool.offer(to: holder(number), requested: nil, now: start) != nil)
        }
        #expect(pool.offer(to: holder(9), requested: nil, now: start + .seconds(59)) == nil)
        let address = pool.offer(to: holder(9), requested: nil, now: start + .seconds(60))
        #expect(address.map { "\($0)" } == "10.0.0.2")
    }

    @Test func `a wish is granted when it is free`() throws {
        var pool = try pool("10.0.0.0/24")
        let wish = IPAddress("10.0.0.99")
        #expect(pool.offer(to: holder(1), requested: wish, now: start) == wish)
        #expect(pool.offer(to: holder(2), requested: wish, now: start) != wish)
    }

    @Test func `a client that comes back after its lease gets its address again`() throws {
        var pool = try pool("10.0.0.0/24")
        let offered = pool.offer(to: holder(1), requested: nil, now: start)
        let first = try #require(offered)
        let isBound = pool.bind(first, to: holder(1), for: .seconds(60), now: start)
        #expect(isBound)
        let later = start + .seconds(86_400)
        _ = pool.offer(to: holder(2), requested: nil, now: later)
        #expect(pool.offer(to: holder(1), requested: nil, now: later) == first)
    }

    @Test func `a fixed address is given to its owner alone, who is brought back to it`() throws {
        let (mac, address) = (MACAddress(rawValue: 7), try #require(IPAddress("10.0.0.2")))
        var pool = try pool("10.0.0.0/24", fixed: [mac: address])
        #expect(pool.offer(to: holder(1), requested: address, now: start) != address)
        let other = try #require(IPAddress("10.0.0.20"))
        let isBound = pool.bind(other, to: holder(7), for: .seconds(60), now: start)
        #expect(!isBound)
        #expect(pool.offer(to: holder(7), requested: other, now: start) == address)
    }

    @Test
    func `clones with one identifier get different addresses, and cannot end each other's lease`()
        throws
    {
        var pool = try pool("10.0.0.0/24")
        let clones = (1...2).map {
            LeasePool.Holder(
                client: .identifier([255, 1, 2]),
                hardwareAddress: MACAddress(rawValue: $0)
            )
        }
        let addresses = clones.map { pool.offer(to: $0, requested: nil, now: start) }
        let (first, second) = (try #require(addresses[0]), try #require(addresses[1]))
        #expect(first != second)
        for (clone, address) in zip(clones, [first, second]) {
            let isBound = pool.bind(address, to: clone, for: .seconds(60), now: start)
            #expect(isBound)
        }
        let takesOver = pool.bind(first, to: clones[1], for: .seconds(60), now: start)
        let releases = pool.release(first, by: clones[1], now: start)
        let declines = pool.decline(first, by: clones[1], now: start)
        #expect(!takesOver && !releases && !declines)
        #expect(pool.leases(now: start).map(\.0) == [first, second])
        #expect(pool.offer(to: clones[0], requested: nil, now: start) == first)
    }

    @Test func `a VM with a new network card gets its lapsed address back`() throws {
        var pool = try pool("10.0.0.0/24")
        func holder(_ mac: UInt64) -> LeasePool.Holder {
            LeasePool.Holder(
                client: .identifier([255, 1, 2]),
                hardwareAddress: MACAddress(rawValue: mac)
            )
        }
        let address = try #require(IPAddress("10.0.0.7"))
        let isBound = pool.bind(address, to: holder(1), for: .seconds(60), now: start)
        #expect(isBound)
        #expect(pool.offer(to: holder(2), requested: nil, now: start + .seconds(59)) != address)
        #expect(pool.offer(to: holder(3), requested: nil, now: start + .seconds(60)) == address)
    }

    @Test func `a VM with a new network card gets a live address only when the old card is gone`()
        throws
    {
        let cards = (1...3).map {
            LeasePool.Holder(
                client: .identifier([255, 1, 2]),
                hardwareAddress: MACAddress(rawValue: $0)
            )
        }
        let stranger = holder(9)
        var pool = try pool("10.0.0.0/24")
        var present = Set(cards.map { $0.hardwareAddress })
        pool.isPresent = { present.contains($0) }
        let offered = pool.offer(to: cards[0], requested: nil, now: start)
        let address = try #require(offered)
        let isBound = pool.bind(address, to: cards[0], for: .seconds(60), now: start)
        #expect(isBound)
        #expect(pool.offer(to: cards[1], requested: address, now: start) != address)
        present.remove(cards[0].hardwareAddress)
        pool.isPresent = { present.contains($0) }
        #expect(pool.offer(to: stranger, requested: address, now: start) != address)
        #expect(pool.offer(to: cards[2], requested: nil, now: start) == address)
        let isTaken = pool.bind(address, to: cards[2], for: .seconds(60), now: start)
        #expect(isTaken)
        #expect(pool.offer(to: cards[0], requested: address, now: start) != address)
    }

    @Test func `the usual client identifier is the Ethernet address, others are their own`() {
        var message = DHCPMessage(
            .discover,
            transactionID: 1,
            hardwareAddress: MACAddress(rawValue: 7)
        )
        let plain = LeasePool.Client(of: message)
        message.options[.clientIdentifier] = [1, 0, 0, 0, 0, 0, 7]
        #expect(LeasePool.Client(of: message) == plain)
        message.options[.clientIdentifier] = [255, 1, 2, 3]
        #expect(LeasePool.Client(of: message) == .identifier([255, 1, 2, 3]))
        message.options[.clientIdentifier] = [UInt8](repeating: 1, count: 256)
        #expect(LeasePool.Client(of: message) == plain)
    }

    @Test func `a large network is bounded by the table`() throws {
        var pool = try pool("10.0.0.0/8")
        for number in 1...UInt64(LeasePool.capacity) {
            let offered = pool.offer(to: holder(number), requested: nil, now: start)
            let address = try #require(offered)
            if number > 1 {
                let isBound = pool.bind(address, to: holder(number), for: .seconds(60), now: start)
                #expect(isBound)
            }
        }
        #expect(pool.offer(to: holder(1 << 40), requested: nil, now: start) == nil)
        let wish = IPAddress("10.99.0.1")
        #expect(pool.offer(to: holder(1 << 40), requested: wish, now: start) == nil)
        #expect(pool.offer(to: holder(1 << 40), requested: wish, now: start + .seconds(61)) == wish)
    }

    @Test("no address has two holders, whatever happens", arguments: 0..<40 as Range<UInt64>)
    func addressesAreUnique(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let fixed = [MACAddress(rawValue: 3): try #require(IPAddress("10.0.0.4"))]
        var pool = try pool("10.0.0.0/28", fixed: fixed)
        var now = start
        for _ in 0..<500 {
            now = now + .seconds(Int64.random(in: 0...40, using: &random))
            let holder = holder(UInt64.random(in: 1...30, using: &random))
            let wish = IPAddress(ipv4: 0x0a00_0000 + UInt32.random(in: 0...16, using: &random))
            switch Int.random(in: 0...4, using: &random) {
            case 0: _ = pool.offer(to: holder, requested: wish, now: now)
            case 1, 2: _ = pool.bind(wish, to: holder, for: .seconds(300), now: now)
            case 3: _ = pool.release(wish, by: holder, now: now)
            default: _ = pool.decline(wish, by: holder, now: now)
            }
            let leases = pool.leases(now: now)
            #expect(Set(leases.map(\.0)).count == leases.count, "seed \(seed)")
            #expect(Set(leases.map(\.1)).count == leases.count, "seed \(seed)")
            let hosts = Set(leases.map { $0.0.low & 0xf })
            #expect(hosts.isDisjoint(with: [0, 1, 14, 15]), "seed \(seed)")
            for (address, mac) in leases where fixed.values.contains(address) {
                #expect(fixed[mac] == address, "seed \(seed)")
            }
        }
    }
}
