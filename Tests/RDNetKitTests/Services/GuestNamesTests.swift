import Testing

@testable import RDNetKit

@Suite("names of guests")
struct GuestNamesTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)
    private static let first = IPAddress(ipv4: 0xc0a8_7f09)
    private static let lower = IPAddress(ipv4: 0xc0a8_7f03)
    private static let inIPv6 = IPAddress(high: 0xfdc0_a87f << 32, low: 2)
    private var names = GuestNames()

    private mutating func set(_ name: String, _ address: IPAddress, at now: Instant) {
        names.set(Array(name.utf8), of: address, until: now + .seconds(600), now: now)
    }

    @Test mutating func `the first guest that sends a name keeps it, also when it renews`() {
        set("box", Self.first, at: Self.start)
        for (seconds, address) in [(1, Self.lower), (2, Self.inIPv6), (500, Self.first)] {
            set("box", address, at: Self.start + .seconds(Int64(seconds)))
        }
        #expect(names.address(of: "box", now: Self.start + .seconds(500)) == Self.first)
        // Its lease has ended, and the name belongs to the next guest.
        names.remove(Self.first)
        #expect(names.address(of: "box", now: Self.start + .seconds(500)) == Self.lower)
        #expect(names.address(of: "box", now: Self.start + .seconds(601)) == Self.inIPv6)
        #expect(names.address(of: "box", now: Self.start + .seconds(602)) == nil)
    }

    @Test mutating func `a guest that changes its name, or returns after a pause, comes last`() {
        set("box", Self.first, at: Self.start)
        set("box", Self.lower, at: Self.start + .seconds(1))
        set("other", Self.first, at: Self.start + .seconds(2))
        set("box", Self.first, at: Self.start + .seconds(3))
        #expect(names.address(of: "box", now: Self.start + .seconds(4)) == Self.lower)
        let later = Self.start + .seconds(700)
        set("box", Self.inIPv6, at: later)
        set("box", Self.lower, at: later + .seconds(1))
        #expect(names.address(of: "box", now: later + .seconds(1)) == Self.inIPv6)
    }

    @Test mutating func `of leases that begin at once IPv4 and the lowest address come first`() {
        for address in [Self.inIPv6, Self.first, Self.lower] {
            set("box", address, at: Self.start)
        }
        #expect(names.address(of: "box", now: Self.start) == Self.lower)
    }
}
