import Testing

@testable import RDNetKit

@Suite("simulated connections over a bad link")
struct LossySimulationTests {
    @Test("every octet arrives and both ends close", arguments: 0..<10)
    func everyOctetArrives(hundred: UInt64) throws {
        for seed in (hundred * 100)..<(hundred * 100 + 100) {
            let problem = try LossySimulation(seed: seed).run()
            #expect(problem == nil, "seed \(seed)")
        }
    }
}
