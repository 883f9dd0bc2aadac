/// The gateway's router advertisements: what they say, and when they are due (RFC 4861, 6.2).
///
/// How it works: each solicitation is answered after a random delay, to the guest alone if it has
/// an address, or else to all. All guests also hear an advertisement after each change, and every
/// few minutes; at least three seconds separate two of them. The caller reports solicitations and
/// changes, and calls `transmissions` when `nextDeadline` has passed. The gateway is a default
/// router only while the host has an IPv6 default route; without one, guests find each other and
/// the gateway, and connect to other addresses by IPv4 without waiting.
struct RouterAdvertiser {
    /// The parameters of the link.
    struct Configuration {
        var prefix: IPv6Prefix
        /// Whether guests may form addresses of their own in a prefix that permits it.
        var isAutonomous = true
        /// At least 1280 (RFC 8200, 5).
        var mtu: UInt32
        var gatewayMAC: MACAddress
        /// Name servers, in order of preference; may be empty.
        var resolvers: [IPAddress]
        /// The domains in which guests look up names; may be empty.
        var searchDomains: [String]
    }

    /// An advertisement from the gateway's link-local address, and its destination.
    struct Transmission: Equatable {
        /// The ICMPv6 message with a zero checksum.
        var octets: [UInt8]
        var destination: IPAddress
        var destinationMAC: MACAddress
    }

    /// A guest that waits for an answer.
    private struct Solicitor: Hashable {
        var address: IPAddress
        var mac: MACAddress
    }

    // The default values of RFC 4861, 6.2.1 and 10.
    private static let maximumInterval: Duration = .seconds(600)
    private static let minimumInterval: Duration = .seconds(198)
    private static let initialInterval: Duration = .seconds(16)
    private static let initialCount = 3
    private static let minimumDistance: Duration = .seconds(3)
    private static let maximumDelay: Duration = .milliseconds(500)
    private static let routerLifetime: UInt16 = 1800
    private static let validLifetime: UInt32 = 2_592_000
    private static let preferredLifetime: UInt32 = 604_800
    /// Seconds that names of servers and domains are valid (RFC 8106, 5.1: three intervals).
    private static let nameLifetime: UInt32 = 1800
    private static let hopLimit: UInt8 = 64
    /// The largest message that needs no fragments on any link.
    private static let maximumLength = IPHeader.minimumMTUIPv6 - IPHeader.lengthIPv6
    /// Limit on waiting guests; with more, one advertisement to all answers everyone.
    static let maximumSolicitors = 64

    private let configuration: Configuration
    /// Whether the gateway is a default router.
    private(set) var isDefaultRouter: Bool
    /// When the next advertisement to all is due.
    private var nextMulticast: Instant
    /// When the last one was sent; nil before the first.
    private var lastMulticast: Instant?
    /// How many of the next ones follow at short intervals.
    private var urgentCount = RouterAdvertiser.initialCount
    private var solicitors: [Solicitor: Instant] = [:]
    private var random: any RandomNumberGenerator

    /// Creates an advertiser whose first advertisement is due at once.
    ///
    /// - Parameters:
    ///   - configuration: The parameters of the link.
    ///   - isDefaultRouter: Whether the host has an IPv6 default route.
    ///   - random: The source of the delays.
    ///   - now: The caller's clock.
    init(
        _ configuration: Configuration,
        isDefaultRouter: Bool,
        random: any RandomNumberGenerator,
        now: Instant
    ) {
        self.configuration = configuration
        self.isDefaultRouter = isDefaultRouter
        self.random = random
        nextMulticast = now
    }

    /// When `transmissions` must be called next.
    var nextDeadline: Instant { min(nextMulticast, solicitors.values.min() ?? nextMulticast) }

    /// Records a valid router solicitation.
    ///
    /// - Parameters:
    ///   - address: The source of the solicitation; may be unspecified.
    ///   - mac: The Ethernet source.
    ///   - now: The caller's clock.
    mutating func solicited(by address: IPAddress, _ mac: MACAddress, now: Instant) {
        let due = now + delay(upTo: Self.maximumDelay)
        // The advertisement to all is due first.
        guard nextMulticast > due else { return }
        let solicitor = Solicitor(address: address, mac: mac)
        guard solicitors[solicitor] == nil else { return }
        if address.isUnspecified || solicitors.count >= Self.maximumSolicitors {
            // RFC 4861, 6.2.6: a full distance after the last one, plus the delay.
            let earliest = lastMulticast.map { $0 + Self.minimumDistance } ?? now
            nextMulticast = min(nextMulticast, max(due, earliest + (due - now)))
        } else {
            solicitors[solicitor] = due
        }
    }

    /// Changes whether the gateway is a default router, and announces a change to all guests.
    mutating func setDefaultRouter(_ isDefaultRouter: Bool, now: Instant) {
        guard isDefaultRouter != self.isDefaultRouter else { return }
        self.isDefaultRouter = isDefaultRouter
        urgentCount = Self.initialCount
        announce(now: now)
    }

    /// Schedules an advertisement to all as early as permitted: a new link has missed the earlier
    /// ones, and its guests may have sent their solicitations before it was attached.
    mutating func announce(now: Instant) {
        let earliest = lastMulticast.map { max(now, $0 + Self.minimumDistance) } ?? now
        nextMulticast = min(nextMulticast, earliest)
    }

    /// Returns the advertisements that are due.
    mutating func transmissions(now: Instant) -> [Transmission] {
        if nextMulticast <= now {
            lastMulticast = now
            nextMulticast = now + interval()
            // Everyone who waits hears it.
            solicitors = [:]
            return [transmission(to: .allNodes, MACAddress(ipv6Group: .allNodes))]
        }
        let due = solicitors.filter { $0.value <= now }.sorted { $0.value < $1.value }
        return due.map { solicitor, _ in
            solicitors[solicitor] = nil
            return transmission(to: solicitor.address, solicitor.mac)
        }
    }

    /// Returns the last advertisement, after which guests use neither this router nor its name
    /// servers (RFC 4861, 6.2.5).
    func farewell() -> Transmission {
        let message = advertisement(routerLifetime: 0, nameLifetime: 0)
        return Transmission(
            octets: message.octets,
            destination: .allNodes,
            destinationMAC: MACAddress(ipv6Group: .allNodes)
        )
    }

    // MARK: The message

    private func transmission(to destination: IPAddress, _ mac: MACAddress) -> Transmission {
        let message = advertisement(
            routerLifetime: isDefaultRouter ? Self.routerLifetime : 0,
            nameLifetime: Self.nameLifetime
        )
        return Transmission(
            octets: message.octets,
            destination: destination,
            destinationMAC: mac
        )
    }

    private func advertisement(routerLifetime: UInt16, nameLifetime: UInt32) -> RouterAdvertisement
    {
        var message = RouterAdvertisement()
        message.hopLimit = Self.hopLimit
        // DHCPv6 has the predictable address. The second flag is redundant (RFC 4861, 4.2), but
        // some clients look only at it.
        message.isManaged = true
        message.hasOtherConfiguration = true
        message.routerLifetime = routerLifetime
        message.options.sourceLinkAddress = configuration.gatewayMAC
        message.options.mtu = configuration.mtu
        message.options.prefixes = [
            NeighborDiscoveryOptions.Prefix(
                network: configuration.prefix.network,
                length: configuration.prefix.prefixLength,
                isOnLink: true,
                isAutonomous: configuration.isAutonomous
                    && configuration.prefix.allowsAutoconfiguration,
                validLifetime: Self.validLifetime,
                preferredLifetime: Self.preferredLifetime
            )
        ]
        message.options.resolvers = [.init(lifetime: nameLifetime, values: configuration.resolvers)]
        var domains = configuration.searchDomains
        repeat {
            message.options.searchDomains = [.init(lifetime: nameLifetime, values: domains)]
        } while message.octets.count > Self.maximumLength && domains.popLast() != nil
        return message
    }

    // MARK: Chance

    private mutating func interval() -> Duration {
        let regular =
            Self.minimumInterval + delay(upTo: Self.maximumInterval - Self.minimumInterval)
        guard urgentCount > 1 else { return regular }
        urgentCount -= 1
        // RFC 4861, 6.2.4.
        return min(regular, Self.initialInterval)
    }

    private mutating func delay(upTo maximum: Duration) -> Duration {
        .nanoseconds(Int64.random(in: 0...maximum.wholeNanoseconds, using: &random))
    }
}
