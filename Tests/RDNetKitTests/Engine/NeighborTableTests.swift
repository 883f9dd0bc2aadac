import Testing

@testable import RDNetKit

@Suite("neighbors of the gateway")
struct NeighborTableTests {
    private let address = IPAddress(ipv4: 0xc0a8_7f02)
    private let one = MACAddress(rawValue: 0x0200_0000_0001)
    private let other = MACAddress(rawValue: 0x0200_0000_0002)

    @Test func `an address has moved when its MAC address is another, on whichever port`() {
        var table = NeighborTable()
        func learn(_ mac: MACAddress, on port: Int) -> NeighborTable.Lesson {
            let before = table.epoch
            let (lesson, isReplacing) = table.learn(address, mac: mac, on: port)
            #expect(!isReplacing && table.epoch != before)
            #expect(table.mac(of: address) == mac && table.port(of: address) == port)
            return lesson
        }
        #expect(learn(one, on: 1) == .new)
        #expect(learn(other, on: 1) == .moved)
        #expect(learn(one, on: 2) == .moved)
        // A guest that comes back over another link.
        #expect(learn(one, on: 3) == .new)
    }

    @Test func `a neighbor of a closed port is on none, and known by its MAC address`() {
        var table = NeighborTable()
        _ = table.learn(address, mac: one, on: 1)
        let knows = table.confirms(address, mac: one, on: 1)
        #expect(knows && table.isLatest(address, one))
        table.close(1)
        #expect(table.port(of: address) == nil && table.mac(of: address) == one)
        #expect(table.count(on: 1) == 0 && !table.isLatest(address, one))
        let isKnown = table.confirms(address, mac: one, on: 1)
        #expect(!isKnown)
        #expect(table.learn(address, mac: one, on: 1).lesson == .new)
    }
}
