import Testing

@testable import RDNetKit

@Suite("controlling terminal")
struct ControllingTerminalTests {
    private func isPresent(_ line: String) -> Bool {
        ControllingTerminal.isPresent(in: Array(line.utf8)[...])
    }

    @Test func `the seventh field of a process's status is its terminal`() {
        #expect(isPresent("812 (bash) S 811 812 812 34816 900 4194304 1 0\n"))
        #expect(!isPresent("812 (bash) S 811 812 812 0 -1 4194304 1 0\n"))
        #expect(isPresent("7 (a) S 0 (b) ) R 1 7 7 1025 7 0\n"))
        #expect(!isPresent("7 (a) S 9 (b) ) R 1 7 7 0 7 0\n"))
    }

    @Test func `without a line there is no terminal`() {
        for line in ["", "812 (bash", "812 (bash)", "812 (bash) S 811 812 812"] {
            #expect(!isPresent(line))
        }
    }
}
