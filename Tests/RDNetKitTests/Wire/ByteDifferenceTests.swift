import Testing

@testable import RDNetKit

@Suite("a difference between octets")
struct ByteDifferenceTests {
    private static let header: WireFields = [("kind", "02"), ("length", "04"), ("value", "05b4")]

    @Test func `names the field, the offset and both octets`() {
        let difference = ByteDifference(
            actual: [2, 4, 5, 0xb0],
            expected: Self.header.octets,
            fields: Self.header
        )
        #expect(
            difference.description == """
                octet 3 (value) of 4 octets
                expected 02 04 05 [b4]
                actual   02 04 05 [b0]
                """
        )
    }

    @Test func `an end too early or too late is a difference`() {
        let short = ByteDifference(actual: [2, 4], expected: Self.header.octets, fields: nil)
        #expect(
            short.description == """
                octet 2 of 2 octets, expected 4
                expected 02 04 [05] b4
                actual   02 04 [end]
                """
        )
        let long = ByteDifference(actual: [2, 4], expected: [2], fields: Self.header)
        #expect(long.description.hasPrefix("octet 1 (length) of 2 octets, expected 1\n"))
    }

    @Test func `a long message is cut to a few octets on either side`() {
        var actual = [UInt8](repeating: 7, count: 200_000)
        let expected = actual
        actual[100_000] = 8
        let text = ByteDifference(actual: actual, expected: expected, fields: nil).description
        #expect(text.contains("… 07 07 07 07 07 07 07 07 [08] 07 07 07 07 07 07 07 …"))
        #expect(text.count < 200)
    }

    @Test func `an issue is recorded only where octets differ`() {
        expectBytes([2, 4, 5, 0xb4], equals: Self.header)
        withKnownIssue { expectBytes([2, 4, 5, 0xb5], equals: Self.header) }
    }
}
