import Testing

@testable import RDNetKit

@Suite("conflict log")
struct ConflictLogTests {
    private final class Record {
        var lines: [String] = []
    }

    private let mac = AddressConflict(
        address: .mac(MACAddress(rawValue: 0x0200_0000_000a)),
        link: 1,
        owner: 0
    )

    @Test func `one warning a minute for each kind, with the frames since the last`() {
        let clock = HandMovedClock()
        let record = Record()
        let log = Logger(clock: { WallTime(seconds: 0, utcOffset: 0) }) { octets in
            record.lines.append(String(decoding: octets, as: UTF8.self))
            return octets.count
        }
        let conflicts = ConflictLog(log) { clock.now }
        for _ in 0..<3 { conflicts.add(mac) }
        #expect(record.lines.count == 1)
        #expect(record.lines[0].contains("mac=\"02:00:00:00:00:0a\" link=1 owner=0 frames=1"))
        let foreign = AddressConflict.Address.foreign(IPAddress(ipv4: 0x0a01_0203))
        conflicts.add(AddressConflict(address: foreign, link: 2, owner: nil))
        #expect(record.lines.count == 2)
        #expect(record.lines[1].contains("address=10.1.2.3 link=2 frames=1"))
        clock.advance(ConflictLog.interval)
        conflicts.add(mac)
        #expect(record.lines[2].contains("owner=0 frames=3"))
    }
}
