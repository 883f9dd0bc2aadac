/// The name of a server as clients write it in TLS and HTTP, in the one spelling that is compared.
enum ServerName {
    /// Letters of both cases, digits and hyphens, and the underscore that many internal names have.
    private static let nameOctets = OctetSet("0"..."9", "a"..."z", "-"..."-", "_"..."_")

    /// The name in lower case without its final dot; nil if the bytes are no DNS name.
    ///
    /// Names with bytes outside ASCII are refused: clients send `xn--` labels (RFC 5890), and
    /// servers disagree about anything else. An IPv4 address passes as it is.
    static func canonical(_ octets: some Collection<UInt8>) -> String? {
        let dot = UInt8(ascii: ".")
        guard octets.count <= DNSName.maximumLength,
            octets.allSatisfy({ nameOctets.contains($0) || $0 == dot })
        else { return nil }
        var text = String(decoding: octets.map(\.foldedASCII), as: UTF8.self)
        if text.hasSuffix(".") { text.removeLast() }
        guard !text.isEmpty, !text.hasSuffix("."), DNSName(text) != nil else { return nil }
        return text
    }
}
