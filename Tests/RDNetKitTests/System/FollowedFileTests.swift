import Testing

@testable import RDNetKit

@Suite("followed file")
struct FollowedFileTests {
    @Test func `reads no more than its limit`() throws {
        let files = try ScratchDirectory()
        try files.write(String(repeating: "x", count: 200_000), to: "big")
        var file = FollowedFile(path: files.path + "/big", limit: 100_000)
        #expect(file.contentsIfChanged(now: Instant(nanoseconds: 0))?.count == 100_000)
        #expect(file.isCut)
        try files.write(String(repeating: "x", count: 100_000), to: "big")
        #expect(file.contentsIfChanged(now: Instant(nanoseconds: 2_000_000_000))?.count == 100_000)
        #expect(!file.isCut)
    }

    @Test("that is missing or a directory is empty", arguments: ["/none", ""])
    func missingIsEmpty(name: String) throws {
        let files = try ScratchDirectory()
        var file = FollowedFile(path: files.path + name, limit: 10)
        #expect(file.contentsIfChanged(now: Instant(nanoseconds: 0)) == [])
    }
}
