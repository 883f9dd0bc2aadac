/// The content of a DHCPACK as values that can be applied.
///
/// Names are validated, so that a server cannot inject a line into resolv.conf.
struct DHCPLease: Equatable, Sendable {
    /// Minimum duration; shorter leases are extended, so that a server's mistake does not cause a
    /// storm of renewals.
    static let minimumDuration: Duration = .seconds(10)
    /// The duration if the server sends none, as in udhcpc.
    static let assumedDuration: Duration = .seconds(3600)
    private static let infinity = UInt32.max

    var address: IPAddress
    var server: IPAddress
    var prefixLength: Int
    var broadcast: IPAddress
    var routers: [IPAddress]
    var nameServers: [IPAddress]
    /// Search domains for name resolution; the domain name (option 15) if the server sends no list.
    var searchDomains: [String]
    /// The interface MTU in bytes of an IP packet; nil if the server does not set it.
    var mtu: Int?
    /// The duration (nil: infinite), when to renew (T1), and when to query any server (T2).
    var duration: Duration?
    var renewal: Duration
    var rebinding: Duration
    /// The IPv6 configuration that belongs to the lease; nil without one.
    var ipv6: IPv6Assignment?
    /// The whole message, for scripts.
    var message: DHCPMessage

    /// Creates a lease from an ACK; nil if the ACK has no host address or no server identifier.
    init?(acknowledgedBy message: DHCPMessage) {
        guard let server = message.options.address(.serverIdentifier),
            Self.isHost(message.yourAddress), Self.isHost(server)
        else { return nil }
        address = message.yourAddress
        self.server = server
        prefixLength = Self.prefixLength(message.options.address(.subnetMask), for: address)
        let hostBits = prefixLength == 32 ? 0 : UInt64(UInt32.max >> UInt32(prefixLength))
        broadcast =
            message.options.address(.broadcastAddress)
            ?? IPAddress(ipv4: UInt32(truncatingIfNeeded: address.low | hostBits))
        routers = message.options.addresses(.router).filter(Self.isHost)
        nameServers = message.options.addresses(.domainNameServer).filter { !$0.isUnspecified }
        searchDomains = Self.searchDomains(message.options)
        // 68 is the minimum (RFC 2132, 5.1).
        mtu = message.options.integer16(.interfaceMTU).map { Int($0) }.flatMap {
            $0 >= 68 ? $0 : nil
        }
        duration = Self.duration(message.options)
        let whole = duration ?? .seconds(Int64(Self.infinity))
        (renewal, rebinding) = Self.times(message.options, of: whole)
        self.message = message
        let offer = message.options[.ipv6Offer].flatMap { IPv6Offer(reading: $0) }
        ipv6 = offer.flatMap { IPv6Assignment($0, with: self) }
    }

    private static func isHost(_ address: IPAddress) -> Bool {
        !address.isUnspecified && !address.isMulticast && !address.isLoopback
            && address != .broadcastIPv4
    }

    /// The number of leading ones of the mask; without a mask, the prefix of the address's class
    /// (RFC 791), as in BOOTP.
    private static func prefixLength(_ mask: IPAddress?, for address: IPAddress) -> Int {
        if let bits = mask?.ipv4, bits >> 31 == 1 { return (~bits).leadingZeroBitCount }
        switch UInt32(truncatingIfNeeded: address.low) >> 30 {
        case 0, 1: return 8
        case 2: return 16
        default: return 24
        }
    }

    private static func searchDomains(_ options: DHCPOptions) -> [String] {
        let list = DHCPDomainSearch.domains(reading: options[.domainSearch] ?? [])
        if !list.isEmpty { return list }
        // Some servers put several names, or a trailing zero, into option 15.
        let name = String(decoding: options[.domainName] ?? [], as: UTF8.self)
        return name.split { $0 == " " || $0 == "\0" }.map(String.init)
            .filter(DHCPDomainSearch.isDomain)
    }

    private static func duration(_ options: DHCPOptions) -> Duration? {
        guard let seconds = options.integer32(.leaseTime) else { return assumedDuration }
        return seconds == infinity ? nil : max(.seconds(Int64(seconds)), minimumDuration)
    }

    /// T1 and T2: the server's if they are in order, otherwise 1/2 and 7/8 of the duration (RFC
    /// 2131, 4.4.5).
    private static func times(
        _ options: DHCPOptions,
        of whole: Duration
    ) -> (renewal: Duration, rebinding: Duration) {
        let given = [DHCPOptionCode.renewalTime, .rebindingTime].compactMap {
            options.integer32($0).map { Duration.seconds(Int64($0)) }
        }
        if given.count == 2, given[0] > .zero, given[0] < given[1], given[1] < whole {
            return (given[0], given[1])
        }
        return (whole / 2, whole * 7 / 8)
    }
}
