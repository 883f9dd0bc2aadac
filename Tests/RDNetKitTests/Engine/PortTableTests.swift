import Testing

@testable import RDNetKit

@Suite("addresses by port")
struct PortTableTests {
    @Test func `a port's count follows what is added, moved, removed and forgotten`() {
        var table = PortTable<Int, String>(limit: 3)
        table.insert(1, "a", on: 7)
        table.insert(2, "b", on: 7)
        #expect(table.count(on: 7) == 2)
        table.insert(1, "a", on: 8)
        #expect(table.count(on: 7) == 1 && table.count(on: 8) == 1)
        table.remove(2)
        table.remove(2)
        #expect(table.count(on: 7) == 0)
        for number in 10..<20 { table.insert(number, "c", on: 9) }
        #expect(table.count(on: 9) == 3)
        #expect(table.removeAll(on: 9).count == 3)
        #expect(table.count(on: 9) == 0 && table.count(on: 8) == 1)
    }
}
