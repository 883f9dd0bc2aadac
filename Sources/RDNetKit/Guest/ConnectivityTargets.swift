/// What the host end tells a report from inside a namespace.
struct ConnectivityTargets: Equatable {
    /// Echo servers on the host's 127.0.0.1, over TCP and over UDP.
    var tcpEcho: UInt16
    var udpEcho: UInt16
    /// A server there that discards what it receives over TCP.
    var discard: UInt16
    /// A port published on the host's 127.0.0.1, and the guest's port that it leads to.
    var published: UInt16
    var guestPort: UInt16
    /// Whether the host has a default route, for each family.
    var hasRouteIPv4 = false
    var hasRouteIPv6 = false
    /// The host's resolvers that a guest can ask, as it sees them.
    var resolvers: [Endpoint] = []

    /// The resolvers that fit a report.
    static let maximumResolvers = 3
    /// Limit on the length of `line`.
    static let maximumLength = 512

    init(
        tcpEcho: UInt16,
        udpEcho: UInt16,
        discard: UInt16,
        published: UInt16,
        guestPort: UInt16
    ) {
        self.tcpEcho = tcpEcho
        self.udpEcho = udpEcho
        self.discard = discard
        self.published = published
        self.guestPort = guestPort
    }

    /// All of it as one line.
    var line: String {
        let numbers =
            [tcpEcho, udpEcho, discard, published, guestPort]
            + [hasRouteIPv4, hasRouteIPv6].map { $0 ? 1 : 0 }
        let words = numbers.map { "\($0)" } + resolvers.map { "\($0)" }
        return words.joined(separator: " ") + "\n"
    }

    /// Parses the line.
    init?(_ line: some StringProtocol) {
        let words = line.split(separator: " ")
        let numbers = words.prefix(7).compactMap { UInt16($0) }
        guard numbers.count == 7 else { return nil }
        self.init(
            tcpEcho: numbers[0],
            udpEcho: numbers[1],
            discard: numbers[2],
            published: numbers[3],
            guestPort: numbers[4]
        )
        (hasRouteIPv4, hasRouteIPv6) = (numbers[5] == 1, numbers[6] == 1)
        resolvers = words.dropFirst(7).compactMap { Endpoint(String($0)) }
    }
}
