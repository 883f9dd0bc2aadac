import Testing

@testable import RDNetKit

@Suite("base64")
struct Base64Tests {
    @Test(
        "the vectors of RFC 4648, section 10",
        arguments: [
            ("", ""), ("f", "Zg=="), ("f\u{6f}", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
        ]
    )
    func vectors(plain: String, encoded: String) {
        #expect(Base64.encode(plain.utf8) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test func `every byte is kept`() {
        let octets = (0...255).map { UInt8($0) }
        #expect(Base64.encode(octets).contains("+"))
        #expect(Base64.encode(octets).contains("/"))
        #expect(Base64.decode(Base64.encode(octets)) == octets)
    }

    @Test(
        "anything else is no base64",
        arguments: ["Zg", "Zg=", "Zh==", "=", "Z", "Zm9v=", "Z=g=", "Zm 9v", "Zm9v\n", "Zm_v", "é"]
    )
    func invalid(text: String) {
        #expect(Base64.decode(text) == nil)
    }
}
