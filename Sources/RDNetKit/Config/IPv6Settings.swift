/// Whether a network has IPv6, and when its guests get a default route for it.
enum IPv6Mode: String, Sendable {
    /// A default route while the host has one.
    case auto
    /// Always a default route.
    case on
    /// No IPv6 at all.
    case off
}

/// The IPv6 prefix of a network.
enum IPv6PrefixChoice: Equatable, Sendable {
    /// With the digits of the IPv4 subnet.
    case matching
    case prefix(IPv6Prefix)
    /// No IPv6 at all.
    case off
}

extension ValueSyntax where Value == IPv6Mode {
    static let ipv6Mode = ValueSyntax(
        placeholder: "MODE",
        expected: "auto, on or off",
        parse: { IPv6Mode(rawValue: $0) },
        text: { $0.rawValue }
    )
}

extension ValueSyntax where Value == IPv6PrefixChoice {
    static let ipv6Prefix = ValueSyntax(
        placeholder: "PREFIX",
        expected: "an IPv6 prefix of 64 to 104 bits such as \(IPv6Prefix.standard), or off",
        parse: { text in
            switch text {
            case "": return .matching
            case "off": return .off
            default:
                do {
                    return .prefix(try IPv6Prefix(text))
                } catch {
                    return nil
                }
            }
        },
        text: { choice in
            switch choice {
            case .matching: ""
            case .prefix(let prefix): prefix.description
            case .off: "off"
            }
        }
    )
}

extension Option {
    /// The options of a network's IPv6 side, for every role that has one.
    static func ipv6(
        mode: any WritableKeyPath<Settings, IPv6Mode> & Sendable,
        prefix: any WritableKeyPath<Settings, IPv6PrefixChoice> & Sendable
    ) -> [Option] {
        [
            Option(
                "ipv6",
                mode,
                .ipv6Mode,
                reach: .network(key: "ipv6"),
                help: "IPv6 for guests: auto, on, or off",
                reason: """
                    With auto, guests have IPv6 addresses, but a default route only while the host \
                    has one; without it, their programs use IPv4. With on, guests always have a \
                    default route. With off, the network has IPv4 only; a kernel without IPv6 \
                    turns auto into off.
                    """
            ),
            Option(
                "subnet6",
                prefix,
                .ipv6Prefix,
                reach: .network(key: "subnet6"),
                unset: "fd and the digits of the subnet: fdc0:a87f::/64",
                help: "the virtual network's IPv6 prefix, or off",
                reason: """
                    A guest's address has the same number as its IPv4 address, in hexadecimal: \
                    192.168.127.16 and fdc0:a87f::10. Guests form addresses of their own as well \
                    if the prefix is a /64. Off means the same as --ipv6 off.
                    """
            ),
        ]
    }
}
