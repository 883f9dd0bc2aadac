/// A case-insensitive set of bytes.
struct OctetSet: Equatable, Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    /// Bytes 128 to 255, included or excluded together: ASCII has no names for them.
    private var hasUpperHalf = false

    static let all = OctetSet().inverted
    static let digit = OctetSet("0"..."9")
    static let word = OctetSet("0"..."9", "A"..."Z", "_"..."_")
    static let space = OctetSet("\t"..."\n", "\u{c}"..."\r", " "..." ")

    /// The POSIX class names (RE2 adds `word`).
    static let named: [String: OctetSet] = [
        "alnum": OctetSet("0"..."9", "a"..."z"),
        "alpha": OctetSet("a"..."z"),
        "ascii": OctetSet("\u{0}"..."\u{7f}"),
        "blank": OctetSet("\t"..."\t", " "..." "),
        "cntrl": OctetSet("\u{0}"..."\u{1f}", "\u{7f}"..."\u{7f}"),
        "digit": digit,
        "graph": OctetSet("!"..."~"),
        "lower": OctetSet("a"..."z"),
        "print": OctetSet(" "..."~"),
        "punct": OctetSet("!"..."/", ":"..."@", "["..."`", "{"..."~"),
        "space": OctetSet("\t"..."\r", " "..." "),
        "upper": OctetSet("a"..."z"),
        "word": word,
        "xdigit": OctetSet("0"..."9", "a"..."f"),
    ]

    /// Creates a set from ranges of ASCII characters, letters in both cases; ignores other
    /// characters.
    init(_ ranges: ClosedRange<Unicode.Scalar>...) {
        for range in ranges { insert(range) }
    }

    /// Adds a range.
    mutating func insert(_ range: ClosedRange<Unicode.Scalar>) {
        guard range.lowerBound.isASCII else { return }
        for number in range.lowerBound.value...min(range.upperBound.value, 127) {
            insert(UInt8(truncatingIfNeeded: number))
        }
    }

    private mutating func insert(_ octet: UInt8) {
        for octet in [octet, Self.otherCase(octet)] {
            if octet < 64 { low |= 1 << octet } else { high |= 1 << (octet - 64) }
        }
    }

    private static func otherCase(_ octet: UInt8) -> UInt8 {
        switch octet {
        case 0x41...0x5a, 0x61...0x7a: octet ^ 0x20
        default: octet
        }
    }

    /// Adds another set.
    mutating func formUnion(_ other: OctetSet) {
        low |= other.low
        high |= other.high
        hasUpperHalf = hasUpperHalf || other.hasUpperHalf
    }

    /// All octets that are not in the set.
    var inverted: OctetSet {
        var set = self
        (set.low, set.high, set.hasUpperHalf) = (~low, ~high, !hasUpperHalf)
        return set
    }

    func contains(_ octet: UInt8) -> Bool {
        switch octet {
        case 0..<64: low >> octet & 1 == 1
        case 64..<128: high >> (octet - 64) & 1 == 1
        default: hasUpperHalf
        }
    }
}
