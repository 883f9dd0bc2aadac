/// What a host's DHCP answers tell a guest end of this program about IPv6 (option 224).
///
///     0  "RDNT"
///     4  version 1
///     5  flags: 1 the gateway is a default router
///     6  prefix length
///     7  prefix, 16 bytes
///
/// It comes with the IPv4 lease, so a guest end configures both families at once, over every kind
/// of link, and does not depend on when the kernel hears a router advertisement. The server sends
/// it only to clients that request it, and the magic number tells it from another use of the
/// option. Later versions may append fields.
struct IPv6Offer: Equatable, Sendable {
    private static let magic: [UInt8] = Array("RDNT".utf8)
    private static let version: UInt8 = 1
    private static let length = 23

    var prefix: IPv6Prefix
    /// Whether the gateway is a default router: the host has an IPv6 default route.
    var hasDefaultRoute: Bool

    init(prefix: IPv6Prefix, hasDefaultRoute: Bool) {
        self.prefix = prefix
        self.hasDefaultRoute = hasDefaultRoute
    }

    /// Reads the option's value; nil for another use of the option or an unusable prefix.
    init?(reading octets: [UInt8]) {
        guard octets.count >= Self.length, octets.starts(with: Self.magic),
            octets[4] == Self.version
        else { return nil }
        hasDefaultRoute = octets[5] & 1 != 0
        do {
            prefix = try IPv6Prefix(
                network: IPAddress(reading: octets.span.bytes, at: 7),
                prefixLength: Int(octets[6])
            )
        } catch {
            return nil
        }
    }

    /// The option's value.
    var octets: [UInt8] {
        Self.magic + [Self.version, hasDefaultRoute ? 1 : 0, UInt8(prefix.prefixLength)]
            + prefix.network.ipv6Octets
    }
}
