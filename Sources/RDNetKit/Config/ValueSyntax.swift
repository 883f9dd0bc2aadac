/// The syntax of one kind of value, the same in arguments, environment and file.
struct ValueSyntax<Value: Sendable>: Sendable {
    /// The placeholder in usage and manual, such as `CIDR`; nil for a Boolean.
    let placeholder: String?
    /// A description of a valid value; it ends the error sentence for an invalid one.
    let expected: String
    let parse: @Sendable (String) -> Value?
    /// The inverse of `parse`.
    let text: @Sendable (Value) -> String
}

extension ValueSyntax {
    /// The same syntax, or empty.
    static func optional<Wrapped>(_ syntax: ValueSyntax<Wrapped>) -> ValueSyntax
    where Value == Wrapped? {
        ValueSyntax(
            placeholder: syntax.placeholder,
            expected: syntax.expected + ", or empty",
            parse: { $0.isEmpty ? .some(nil) : syntax.parse($0).map { $0 } },
            text: { $0.map(syntax.text) ?? "" }
        )
    }
}

extension ValueSyntax where Value: RawRepresentable<String> {
    /// One of the words of an enumeration.
    static func word(_ placeholder: String, expected: String) -> ValueSyntax {
        ValueSyntax(
            placeholder: placeholder,
            expected: expected,
            parse: { Value(rawValue: $0) },
            text: { $0.rawValue }
        )
    }
}

extension ValueSyntax where Value == Bool {
    /// A Boolean in Go's spelling; as an argument it stands alone or takes `=VALUE`.
    static let boolean = ValueSyntax(
        placeholder: nil,
        expected: "true or false (also t, f, 1, 0)",
        parse: { GoSyntax.boolean($0) },
        text: { String($0) }
    )
}

extension ValueSyntax where Value == Bool {
    /// Something that is on unless it is switched off; truth values in Go's words will do.
    static let onOff = ValueSyntax(
        placeholder: "on|off",
        expected: "on or off",
        parse: { ["on": true, "off": false][$0] ?? GoSyntax.boolean($0) },
        text: { $0 ? "on" : "off" }
    )
}

extension ValueSyntax where Value == Int {
    /// An integer in Go's notation.
    static func integer(_ range: ClosedRange<Int>, _ placeholder: String) -> ValueSyntax {
        ValueSyntax(
            placeholder: placeholder,
            expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            parse: { text in GoSyntax.integer(text).flatMap { range.contains($0) ? $0 : nil } },
            text: { String($0) }
        )
    }
}

extension ValueSyntax where Value == String {
    /// A path, or empty.
    static let optionalPath = optionalPath("FILE")

    /// The path of a directory, or empty.
    static let optionalDirectory = optionalPath("DIRECTORY")

    private static func optionalPath(_ placeholder: String) -> ValueSyntax {
        ValueSyntax(
            placeholder: placeholder,
            expected: "a path",
            parse: { $0 },
            text: { $0 }
        )
    }

    /// A path.
    static let path = nonEmpty("FILE", expected: "a path")

    /// Any non-empty text.
    static func nonEmpty(_ placeholder: String, expected: String) -> ValueSyntax {
        ValueSyntax(
            placeholder: placeholder,
            expected: expected,
            parse: { $0.isEmpty ? nil : $0 },
            text: { $0 }
        )
    }

    /// An interface name: at most 15 bytes (IFNAMSIZ without its NUL), no slash, no space.
    static let interfaceName = ValueSyntax(
        placeholder: "NAME",
        expected: "an interface name of 1 to 15 bytes without '/', ':' and white space",
        parse: { text in
            let isGood = text.utf8.allSatisfy {
                $0 > 0x20 && $0 != 0x2f && $0 != 0x3a && $0 != 0x7f
            }
            guard (1...15).contains(text.utf8.count), isGood, text != ".", text != ".." else {
                return nil
            }
            return text
        },
        text: { $0 }
    )

    /// A domain name (RFC 1035, 2.3.4): labels of 1 to 63 bytes, 253 in all.
    static let domain = ValueSyntax(
        placeholder: "DOMAIN",
        expected: "a domain name",
        parse: { text in
            let name = text.hasSuffix(".") ? String(text.dropLast()) : text
            let labels = name.utf8.split(
                separator: UInt8(ascii: "."),
                omittingEmptySubsequences: false
            )
            let isGood = labels.allSatisfy { label in
                (1...63).contains(label.count) && label.allSatisfy { $0 > 0x20 && $0 != 0x7f }
            }
            return isGood && name.utf8.count <= 253 ? name : nil
        },
        text: { $0 }
    )
}

extension ValueSyntax where Value == IPAddress? {
    /// A unicast address, or empty.
    static let optionalAddress = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "a literal unicast IPv4 or IPv6 address such as 192.168.143.1",
        parse: { text in
            if text.isEmpty { return .some(nil) }
            guard let address = IPAddress(text), !address.isUnspecified, !address.isMulticast else {
                return nil
            }
            return .some(address)
        },
        text: { $0?.description ?? "" }
    )
}

extension ValueSyntax where Value == Subnet {
    /// An IPv4 network.
    static let subnet = ValueSyntax(
        placeholder: "CIDR",
        expected: "an IPv4 network such as 192.168.127.0/24, with a prefix of 8 to 30 bits",
        parse: { Subnet($0) },
        text: { $0.description }
    )
}

extension ValueSyntax where Value == MACAddress {
    /// A unicast MAC address.
    static let mac = ValueSyntax(
        placeholder: "MAC",
        expected: "a unicast MAC address such as 5a:94:ef:e4:0c:ee",
        parse: { text in
            MACAddress(text).flatMap { $0.isGroup || $0.rawValue == 0 ? nil : $0 }
        },
        text: { $0.description }
    )
}

extension ValueSyntax where Value == MACAddress? {
    /// A unicast MAC address, or empty for no change.
    static let optionalMAC = optional(.mac)
}

extension ValueSyntax where Value == LogLevel {
    /// A level's name, including logrus's short `warn`.
    static let logLevel = ValueSyntax(
        placeholder: "LEVEL",
        expected: "debug, info, warning, error or fatal",
        parse: { text in
            LogLevel.allCases.first { $0.name == (text == "warn" ? "warning" : text) }
        },
        text: { $0.name }
    )
}

extension ValueSyntax where Value == LogFormat {
    /// A format's name.
    static let logFormat = word("FORMAT", expected: "text or json")
}
