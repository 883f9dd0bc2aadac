/// What the host end tells a report from inside a namespace.
struct ConnectivityTargets: Equatable {
    /// Echo servers on the host's 127.0.0.1, over TCP and over UDP.
    var tcpEcho: UInt16
    var udpEcho: UInt16
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

    init(tcpEcho: UInt16, udpEcho: UInt16, published: UInt16, guestPort: UInt16) {
        self.tcpEcho = tcpEcho
        self.udpEcho = udpEcho
        self.published = published
        self.guestPort = guestPort
    }

    /// All of it as one line.
    var line: String {
        let numbers =
            [tcpEcho, udpEcho, published, guestPort]
            + [hasRouteIPv4, hasRouteIPv6].map { $0 ? 1 : 0 }
        let words = numbers.map { "\($0)" } + resolvers.map { "\($0)" }
        return words.joined(separator: " ") + "\n"
    }

    /// Parses the line.
    init?(_ line: some StringProtocol) {
        let words = line.split(separator: " ")
        let numbers = words.prefix(6).compactMap { UInt16($0) }
        guard numbers.count == 6 else { return nil }
        self.init(
            tcpEcho: numbers[0],
            udpEcho: numbers[1],
            published: numbers[2],
            guestPort: numbers[3]
        )
        (hasRouteIPv4, hasRouteIPv6) = (numbers[4] == 1, numbers[5] == 1)
        resolvers = words.dropFirst(6).compactMap { Endpoint(String($0)) }
    }
}
