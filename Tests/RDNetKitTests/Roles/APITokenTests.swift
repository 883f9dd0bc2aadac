import Testing

@testable import RDNetKit

@Suite("API token")
struct APITokenTests {
    private func token(_ contents: FileContents) -> String {
        do {
            return try APIToken.read("/t") { _ in contents }
        } catch {
            return error.sentence
        }
    }

    @Test("is the first line", arguments: ["s3cret", "s3cret\n", "s3cret\r\nx", "s3cret\rx\n\n"])
    func firstLine(text: String) {
        #expect(token(.text(text)) == "s3cret")
    }

    @Test(
        "any other first line is refused",
        arguments: ["", "\ns3cret", "two words\n", "sécret\n"]
    )
    func refused(text: String) {
        let expected =
            "api-token-file /t: expected a token of printable characters without spaces in its "
            + "first line"
        #expect(token(.text(text)) == expected)
    }

    @Test func `a file that cannot be read is one sentence`() {
        #expect(token(.absent) == "api-token-file /t: no such file or directory")
        #expect(token(.unreadable("open /t: no")) == "api-token-file open /t: no")
    }
}
