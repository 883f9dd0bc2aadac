import Testing

@testable import RDNetKit

@Suite("which requests the API admits")
struct HTTPAdmissionTests {
    private static let loopback = IPAddress.loopbackIPv4
    private static let remote = IPAddress(ipv4: 0x0a00_0005)

    private func status(
        _ fields: String,
        at local: IPAddress? = loopback,
        token: String = ""
    ) throws -> Int? {
        let octets = Array("POST /x HTTP/1.1\r\n\(fields)\r\n\r\n".utf8)
        let head = try HTTPRequestHead(parsing: octets[...])
        let admission = HTTPAdmission(
            isOwnName: { $0 == "machine" },
            address: IPAddress(ipv4: 0xc0a8_7f01),
            token: Array(token.utf8)
        )
        return admission.refusal(of: head, at: local)?.status
    }

    @Test(
        "a Host is the server's own",
        arguments: [
            ("127.0.0.1", loopback), ("127.0.0.1:8080", loopback), ("localhost:1", loopback),
            ("LOCALHOST.", loopback), ("api.localhost", loopback), ("machine:80", remote),
            ("10.0.0.5:80", remote), ("[::1]:80", .loopbackIPv6), ("", remote),
            ("192.168.127.1", nil),
        ]
    )
    func own(host: String, local: IPAddress?) throws {
        #expect(try status("Host: \(host)", at: local) == nil)
    }

    @Test(
        "any other Host is not",
        arguments: [
            ("evil.example", loopback), ("evil.example:8080", loopback), ("10.0.0.5", loopback),
            ("localhost", remote), ("localhost.evil.example", loopback), ("127.0.0.1", remote),
            ("notlocalhost", loopback), ("::1", .loopbackIPv6), ("192.168.127.1", remote),
            ("localhost", nil), ("machine.evil.example", loopback), ("[::1", .loopbackIPv6),
        ]
    )
    func foreign(host: String, local: IPAddress?) throws {
        #expect(try status("Host: \(host)", at: local) == 403)
    }

    @Test(
        "a web page's request is refused",
        arguments: [
            "Origin: http://127.0.0.1", "Origin: null", "Origin: ", "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site", "Sec-Fetch-Site: same-origin",
        ]
    )
    func page(field: String) throws {
        #expect(try status("Host: 127.0.0.1\r\n\(field)") == 403)
    }

    @Test func `an address that somebody typed into a browser is answered`() throws {
        #expect(try status("Host: 127.0.0.1\r\nSec-Fetch-Site: none") == nil)
    }

    @Test(
        "the token is needed where there is one",
        arguments: [
            ("", 401), ("Authorization: Bearer secre", 401), ("Authorization: Bearer secret1", 401),
            ("Authorization: Basic secret", 401), ("Authorization: secret", 401),
            ("Authorization: Bearer secret", nil), ("authorization: bearer   secret", nil),
        ]
    )
    func token(field: String, expected: Int?) throws {
        let fields = field.isEmpty ? "Host: 127.0.0.1" : "Host: 127.0.0.1\r\n\(field)"
        #expect(try status(fields, token: "secret") == expected)
    }
}
