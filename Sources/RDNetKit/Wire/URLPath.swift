/// The path of a URL (RFC 3986, section 3.3).
enum URLPath {
    /// Decodes percent-encoding; nil if an escape is malformed.
    static func decoded(_ text: String) -> String? {
        var output: [UInt8] = []
        var octets = text.utf8[...]
        while let octet = octets.popFirst() {
            guard octet == UInt8(ascii: "%") else {
                output.append(octet)
                continue
            }
            guard let high = octets.popFirst(), let low = octets.popFirst(),
                let highDigit = Character(Unicode.Scalar(high)).hexDigitValue,
                let lowDigit = Character(Unicode.Scalar(low)).hexDigitValue
            else { return nil }
            output.append(UInt8(highDigit << 4 | lowDigit))
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Percent-encodes the characters that a path cannot contain.
    static func encoded(_ path: String) -> String {
        var output = ""
        for octet in path.utf8 {
            switch octet {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a:
                output.unicodeScalars.append(Unicode.Scalar(octet))
            case _ where "-._~$&+,/:;=@".utf8.contains(octet):
                output.unicodeScalars.append(Unicode.Scalar(octet))
            default:
                output += octet < 16 ? "%0" : "%"
                output += String(octet, radix: 16, uppercase: true)
            }
        }
        return output
    }

    /// The equivalent path without empty, `.` and `..` segments; a trailing slash stays.
    ///
    /// Works on bytes: a slash before a combining character is part of a longer `Character`.
    static func cleaned(_ path: String) -> String {
        let slash = UInt8(ascii: "/")
        var segments: [Substring.UTF8View] = []
        for segment in path[...].utf8.split(separator: slash) where !segment.elementsEqual(".".utf8)
        {
            if segment.elementsEqual("..".utf8) {
                _ = segments.popLast()
            } else {
                segments.append(segment)
            }
        }
        var octets = [slash] + segments.joined(separator: [slash])
        if path.utf8.last == slash, !segments.isEmpty { octets.append(slash) }
        return String(decoding: octets, as: UTF8.self)
    }
}
