/// Base64 with padding (RFC 4648, section 4).
enum Base64 {
    private static let digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )
    private static let padding = UInt8(ascii: "=")

    /// Encodes bytes.
    static func encode(_ octets: some Collection<UInt8>) -> String {
        var text: [UInt8] = []
        var rest = octets[...]
        while !rest.isEmpty {
            let group = rest.prefix(3)
            rest = rest.dropFirst(3)
            var bits = group.reduce(0) { $0 << 8 | Int($1) }
            bits <<= 8 * (3 - group.count)
            for place in 0..<4 {
                let digit = digits[bits >> (18 - 6 * place) & 0x3f]
                text.append(place <= group.count ? digit : padding)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Decodes a text.
    ///
    /// - Returns: Nil if the text is not what `encode` makes of any bytes.
    static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var octets: [UInt8] = []
        var bits = 0
        var count = 0
        for octet in text.utf8 where octet != padding {
            guard let digit = digits.firstIndex(of: octet) else { return nil }
            bits = (bits << 6 | digit) & 0xffff
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            octets.append(UInt8(truncatingIfNeeded: bits >> count))
        }
        return encode(octets) == text ? octets : nil
    }
}
