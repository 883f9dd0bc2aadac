/// Go's syntax for numbers and Booleans, because product scripts are written for its `flag`
/// package.
enum GoSyntax {
    /// Parses a Boolean like `strconv.ParseBool`.
    static func boolean(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }

    /// Parses an integer like `strconv.ParseInt` with base 0.
    ///
    /// An optional sign; then `0x`, `0o` or `0b` in either case, a leading `0` for octal, otherwise
    /// decimal; underscores between digits or after the prefix.
    ///
    /// - Parameter text: Without surrounding white space.
    /// - Returns: Nil for any other text and for values beyond 64 bits.
    static func integer(_ text: String) -> Int? {
        var digits = Array(text.utf8)[...]
        var isNegative = false
        if let sign = digits.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            isNegative = sign == UInt8(ascii: "-")
            digits = digits.dropFirst()
        }
        let radix = takePrefix(&digits)
        guard let plain = withoutSeparators(digits, hasPrefix: radix != 10),
            let magnitude = UInt64(String(decoding: plain, as: UTF8.self), radix: radix)
        else { return nil }
        if isNegative {
            return magnitude <= 1 << 63 ? Int(truncatingIfNeeded: 0 &- magnitude) : nil
        }
        return Int(exactly: magnitude)
    }

    /// Removes `0x`, `0o`, `0b` or the octal `0` and returns the base.
    private static func takePrefix(_ digits: inout ArraySlice<UInt8>) -> Int {
        guard digits.first == UInt8(ascii: "0"), digits.count > 1 else { return 10 }
        // Bit 5 distinguishes lower from upper case in ASCII.
        let radix: Int? =
            switch digits[digits.startIndex + 1] | 0x20 {
            case UInt8(ascii: "x"): 16
            case UInt8(ascii: "o"): 8
            case UInt8(ascii: "b"): 2
            default: nil
            }
        digits = digits.dropFirst(radix == nil ? 1 : 2)
        return radix ?? 8
    }

    /// Digits without underscores; nil for a misplaced underscore or a second sign.
    private static func withoutSeparators(_ digits: ArraySlice<UInt8>, hasPrefix: Bool) -> [UInt8]?
    {
        let underscore = UInt8(ascii: "_")
        var plain: [UInt8] = []
        // The prefix counts as a digit: 0x_1 is valid.
        var afterDigit = hasPrefix
        for octet in digits {
            if octet == underscore {
                guard afterDigit else { return nil }
                afterDigit = false
            } else {
                // UInt64's parser would accept a second sign.
                guard octet != UInt8(ascii: "+"), octet != UInt8(ascii: "-") else { return nil }
                plain.append(octet)
                afterDigit = true
            }
        }
        return afterDigit && !plain.isEmpty ? plain : nil
    }
}
