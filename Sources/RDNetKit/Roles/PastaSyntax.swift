extension ValueSyntax where Value == String {
    /// An interface's name, or empty.
    static let optionalInterface = ValueSyntax(
        placeholder: "NAME",
        expected: interfaceName.expected,
        parse: { $0.isEmpty ? $0 : interfaceName.parse($0) },
        text: { $0 }
    )
}

extension ValueSyntax where Value == IPAddress {
    /// A unicast address of another machine.
    static let pastaUnicast = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "a literal unicast address such as 192.168.143.1 or fe80::1",
        parse: { IPAddress($0).flatMap { $0.isForeignUnicast ? $0 : nil } },
        text: { $0.description }
    )
}

extension IPAddress {
    /// Whether it may be that of another machine: not loopback, no group, and not in ::/64, which
    /// contains deprecated forms of IPv4 addresses.
    fileprivate var isForeignUnicast: Bool {
        !isUnspecified && !isMulticast && !isLoopback && (isIPv4 || high != 0)
    }
}

extension ValueSyntax where Value == InterfaceAddress {
    /// An address with or without a prefix length.
    ///
    /// Without one, that is 0 here, and then that of an IPv4 address's class (RFC 791, 2.3), or 64.
    static let pastaAddress = ValueSyntax(
        placeholder: "ADDRESS[/LENGTH]",
        expected: """
            a literal unicast address such as 10.0.2.100, 10.0.2.100/24 or 2001:db8::64, with a \
            prefix of 8 to 32 bits for IPv4, and of 64 to 128 for IPv6
            """,
        parse: { text in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, let address = IPAddress(parts[0]), address.isForeignUnicast,
                address.isIPv4 || !address.isLinkLocal
            else { return nil }
            guard parts.count == 2 else {
                return InterfaceAddress(address: address, prefixLength: 0)
            }
            let lengths: ClosedRange<UInt64> = address.isIPv4 ? 8...32 : 64...128
            return parts[1].decimal(upTo: lengths.upperBound).flatMap { length in
                lengths.contains(length)
                    ? InterfaceAddress(address: address, prefixLength: Int(length)) : nil
            }
        },
        text: { $0.prefixLength == 0 ? "\($0.address)" : "\($0)" }
    )
}

extension ValueSyntax where Value == Int? {
    /// A mask of an IPv4 network, or its number of bits.
    static let netmask = ValueSyntax(
        placeholder: "MASK",
        expected: "a mask such as 255.255.255.0, or its number of bits, 8 to 32",
        parse: { text in
            if text.isEmpty { return .some(nil) }
            let length: Int
            if let mask = IPAddress(text)?.ipv4 {
                length = mask.nonzeroBitCount
                // The ones must come first.
                guard mask.leadingZeroBitCount == 0, (~mask).leadingZeroBitCount == length else {
                    return nil
                }
            } else {
                guard let number = text.decimal(upTo: 32) else { return nil }
                length = Int(number)
            }
            return length < 8 ? nil : length
        },
        text: { $0.map { "\($0)" } ?? "" }
    )
}

extension ValueSyntax where Value == PastaMap {
    static let pastaMap = ValueSyntax(
        placeholder: "ADDRESS|none",
        expected: "a literal unicast address such as 169.254.1.2, or none",
        parse: { text in
            if text == "none" { return PastaMap.none }
            return ValueSyntax<IPAddress>.pastaUnicast.parse(text).map { .address($0) }
        },
        text: { map in
            switch map {
            case .address(let address): "\(address)"
            case .none: "none"
            }
        }
    )
}

extension ValueSyntax where Value == PastaServer {
    static let pastaServer = ValueSyntax(
        placeholder: "ADDRESS|none",
        expected: "a literal address such as 9.9.9.9, or none",
        parse: { text in
            if text == "none" { return PastaServer.none }
            return ValueSyntax<ZonedEndpoint>.nameServer.parse(text).map { .server($0) }
        },
        text: { server in
            switch server {
            case .none: "none"
            case .server(let endpoint): "\(endpoint)"
            }
        }
    )
}
