extension ValueSyntax where Value == String {
    /// An interface's name, or empty.
    static let optionalInterface = ValueSyntax(
        placeholder: "NAME",
        expected: interfaceName.expected,
        parse: { $0.isEmpty ? $0 : interfaceName.parse($0) },
        text: { $0 }
    )
}

extension ValueSyntax where Value == IPAddress? {
    /// A unicast IPv4 address, or empty.
    static let optionalIPv4 = ValueSyntax(
        placeholder: "ADDRESS",
        expected: "a literal unicast IPv4 address such as 192.168.143.1",
        parse: { text in
            optionalAddress.parse(text).flatMap { $0?.isIPv4 ?? true ? .some($0) : nil }
        },
        text: { $0?.description ?? "" }
    )
}

extension ValueSyntax where Value == InterfaceAddress? {
    /// An address with or without a prefix length, which then is that of its class (RFC 791, 2.3).
    static let pastaAddress = ValueSyntax(
        placeholder: "ADDRESS[/LENGTH]",
        expected: "a literal unicast IPv4 address such as 10.0.2.100 or 10.0.2.100/24",
        parse: { text in
            if text.isEmpty { return .some(nil) }
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, let address = IPAddress(parts[0]), address.isIPv4,
                !address.isUnspecified, !address.isMulticast, !address.isLoopback
            else { return nil }
            guard parts.count == 2 else {
                return InterfaceAddress(address: address, prefixLength: 0)
            }
            return parts[1].decimal(upTo: 32).flatMap { length in
                length < 8
                    ? nil : InterfaceAddress(address: address, prefixLength: Int(length))
            }
        },
        text: { address in
            address.map { $0.prefixLength == 0 ? "\($0.address)" : "\($0)" } ?? ""
        }
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
    static let loopbackMap = map(empty: .standard)
    static let guestMap = map(empty: .none)

    private static func map(empty: PastaMap) -> ValueSyntax {
        ValueSyntax(
            placeholder: "ADDRESS|none",
            expected: "a literal unicast IPv4 address such as 169.254.1.2, or none",
            parse: { text in
                if text.isEmpty { return empty }
                if text == "none" { return PastaMap.none }
                guard let address = IPAddress(text), address.isIPv4, !address.isUnspecified,
                    !address.isMulticast, !address.isLoopback
                else { return nil }
                return .address(address)
            },
            text: { map in
                switch map {
                case empty: ""
                case .address(let address): "\(address)"
                case .none, .standard: "none"
                }
            }
        )
    }
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
