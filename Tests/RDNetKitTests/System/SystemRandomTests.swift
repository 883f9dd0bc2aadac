import Testing

@testable import RDNetKit

@Suite("kernel randomness")
struct SystemRandomTests {
    @Test func `does not repeat itself over several fetches`() {
        var random = SystemRandom()
        #expect(Set((0..<100).map { _ in random.next() }).count == 100)
    }
}
