import Testing

@testable import RDNetKit

@Suite("flow table")
struct FlowTableTests {
    private final class Flow {}

    private func key(_ random: inout SeededRandom) -> FlowKey {
        FlowKey(
            guest: Endpoint(
                address: IPAddress(ipv4: 0xc0a8_7f00 + UInt32.random(in: 0..<4, using: &random)),
                port: UInt16.random(in: 0..<60, using: &random)
            ),
            remote: Endpoint(
                address: IPAddress(ipv4: 0x0808_0800 + UInt32.random(in: 0..<4, using: &random)),
                port: UInt16.random(in: 0..<4, using: &random)
            )
        )
    }

    private struct Ends: Hashable {
        var guest: Endpoint
        var remote: Endpoint
    }

    @Test("agrees with a dictionary", arguments: [UInt64](1...8))
    func model(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var table = FlowTable<Flow>(seed: random.next())
        var model: [Ends: Flow] = [:]
        for round in 0..<12_000 {
            let key = key(&random)
            let ends = Ends(guest: key.guest, remote: key.remote)
            #expect(table[key] === model[ends])
            // The table grows and shrinks in turn.
            let grows = (round / 2000).isMultiple(of: 2)
            let wantsInsertion = Int.random(in: 0..<10, using: &random) < (grows ? 8 : 3)
            if wantsInsertion, model[ends] == nil {
                let flow = Flow()
                table.insert(flow, for: key)
                model[ends] = flow
            } else if !wantsInsertion, let flow = model.removeValue(forKey: ends) {
                table.remove(Flow(), for: key)
                #expect(table[key] === flow, "another flow's key is not given up")
                table.remove(flow, for: key)
                table.remove(flow, for: key)
            }
            #expect(table.count == model.count)
        }
        #expect(
            Set(table.all.map { ObjectIdentifier($0) })
                == Set(model.values.map { ObjectIdentifier($0) })
        )
        for (ends, flow) in model {
            #expect(table[FlowKey(guest: ends.guest, remote: ends.remote)] === flow)
        }
    }
}
