import Testing

@testable import RDNetKit

@Suite("name pins")
struct NamePinsTests {
    private let start = Instant(nanoseconds: 0)
    private let address = IPAddress(ipv4: 0x0101_0101)
    private let guest = MACAddress.standardGuest

    private func name(_ text: String) -> NamePins.Name {
        NamePins.Name(text: text, isLocal: false)
    }

    private func names(_ pins: NamePins, after seconds: Int) -> [String] {
        pins.names(of: address, for: guest, now: start + .seconds(seconds)).map(\.text)
    }

    @Test func `a pin lasts for its time to live, at least a minute and at most a day`() {
        var pins = NamePins()
        pins.pin(address, to: name("short"), timeToLive: 1, for: guest, now: start)
        pins.pin(address, to: name("long"), timeToLive: 300, for: guest, now: start)
        pins.pin(address, to: name("endless"), timeToLive: .max, for: guest, now: start)
        #expect(names(pins, after: 59) == ["short", "long", "endless"])
        #expect(names(pins, after: 60) == ["long", "endless"])
        #expect(names(pins, after: 300) == ["endless"])
        #expect(names(pins, after: 86_400) == [])
    }

    @Test func `a pin is one guest's alone`() {
        var pins = NamePins()
        pins.pin(address, to: name("a"), timeToLive: 60, for: guest, now: start)
        let other = MACAddress(rawValue: 0x0200_0000_0001)
        #expect(pins.names(of: address, for: other, now: start).isEmpty)
    }

    @Test func `a repeated answer renews the pin`() {
        var pins = NamePins()
        pins.pin(address, to: name("a"), timeToLive: 60, for: guest, now: start)
        pins.pin(address, to: name("a"), timeToLive: 60, for: guest, now: start + .seconds(50))
        #expect(names(pins, after: 100) == ["a"])
    }

    @Test func `a full table forgets the oldest addresses of the same guest`() {
        var pins = NamePins()
        let other = MACAddress(rawValue: 0x0200_0000_0001)
        pins.pin(address, to: name("other"), timeToLive: 600, for: other, now: start)
        pins.pin(address, to: name("first"), timeToLive: 600, for: guest, now: start)
        for number in 0..<UInt32(3 * NamePins.addressesPerGuest) {
            let address = IPAddress(ipv4: 0x0a00_0000 + number)
            pins.pin(address, to: name("flood"), timeToLive: 600, for: guest, now: start)
        }
        #expect(names(pins, after: 1) == [])
        #expect(pins.count == NamePins.addressesPerGuest + 1)
        #expect(!pins.names(of: address, for: other, now: start).isEmpty)
    }

    @Test func `an address keeps its latest names`() {
        var pins = NamePins()
        for number in 0...NamePins.namesPerAddress {
            pins.pin(address, to: name("\(number)"), timeToLive: 60, for: guest, now: start)
        }
        #expect(names(pins, after: 0) == (1...NamePins.namesPerAddress).map { "\($0)" })
    }

    @Test func `guests beyond the limit displace the idlest`() {
        var pins = NamePins()
        for number in 0...UInt64(NamePins.maximumGuests) {
            let guest = MACAddress(rawValue: 0x0200_0000_0000 + number)
            let now = start + .milliseconds(Int(number))
            pins.pin(address, to: name("a"), timeToLive: 60, for: guest, now: now)
        }
        #expect(pins.count == NamePins.maximumGuests)
        let first = MACAddress(rawValue: 0x0200_0000_0000)
        #expect(pins.names(of: address, for: first, now: start + .seconds(1)).isEmpty)
    }
}
