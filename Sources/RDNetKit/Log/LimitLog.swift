/// Bounds that can cut something off, by the name that the log and `/stats` show.
enum Limit: String, CountedReason, Sendable {
    case descriptors
    case udpFlows = "udp_flows"
    case echoFlows = "echo_flows"
    case tcpFlows = "tcp_flows"
    case tcpHandshakes = "tcp_handshakes"
    case guestFlows = "guest_flows"
    case forwards
    case recordedForwards = "recorded_forwards"
    case portFiles = "port_files"
    case portFileSessions = "port_file_sessions"
    case forwardClients = "forward_clients"
    case answerPorts = "answer_ports"
    case leases
    case links
    case linkAddresses = "link_addresses"
    case apiConnections = "api_connections"
    case dnsConnections = "dns_connections"
    case dnsQueries = "dns_queries"
    case mdnsNames = "mdns_names"
    case hostsNames = "hosts_names"
    case hostsBytes = "hosts_bytes"
    case resolvers
    case searchDomains = "search_domains"
    case resolverBytes = "resolver_bytes"

    static let family = MetricFamily(
        "Limits",
        metric: "limit_reached",
        label: "limit",
        "Connections, clients, names or bytes that a limit cut off, by limit."
    )

    /// What happens at the bound.
    var effect: String {
        switch self {
        case .descriptors: "idle UDP and echo flows close early, and new connections wait or fail"
        case .udpFlows, .echoFlows: "the longest-idle flow of the busiest link closes early"
        case .tcpFlows: "new connections are refused"
        case .tcpHandshakes: "the oldest handshake of the busiest link is aborted"
        case .guestFlows:
            "a guest's new connections are refused, and its longest-idle UDP or echo flow closes early"
        case .forwards: "new forwards are refused"
        case .recordedForwards: "further forwards do not survive a restart"
        case .portFiles: "further directories of the control file system are refused"
        case .portFileSessions: "further sessions of the control file system are refused"
        case .forwardClients: "the longest-idle UDP client loses its port"
        case .answerPorts: "answers from another port of the guest are dropped"
        case .leases: "clients without an address get none"
        case .links: "new links are refused"
        case .linkAddresses: "the oldest address on the same link is forgotten"
        case .apiConnections, .dnsConnections: "the longest-idle connection closes early"
        case .dnsQueries: "the oldest query fails"
        case .mdnsNames: "further .local names are not looked up on the host's links"
        case .hostsNames: "further names in the hosts file are ignored"
        case .hostsBytes: "the rest of the hosts file is ignored"
        case .resolvers: "further name servers are ignored"
        case .searchDomains: "further search domains are ignored"
        case .resolverBytes: "the rest of resolv.conf is ignored"
        }
    }
}

/// Counts how often each limit cut something off, and warns at most once a minute for each.
final class LimitLog {
    /// Seconds between two warnings about one limit.
    static let interval: Int64 = 60

    private struct State {
        /// The counter at the last warning.
        var reported: UInt64 = 0
        /// The time of the last warning.
        var warned: Int64?
    }

    private let log: Logger
    private let seconds: () -> Int64
    /// How often each limit cut something off.
    private(set) var counters = ReasonCounters<Limit>()
    private var states: [Limit: State] = [:]

    /// Creates counters at zero.
    ///
    /// - Parameters:
    ///   - log: Receives the warnings.
    ///   - seconds: A monotonic clock in seconds.
    init(_ log: Logger, seconds: @escaping () -> Int64) {
        self.log = log
        self.seconds = seconds
    }

    /// A counter whose warnings go nowhere.
    static func discarding() -> LimitLog {
        LimitLog(.discarding()) { 0 }
    }

    /// Counts that a limit cut something off.
    ///
    /// - Parameters:
    ///   - limit: The limit.
    ///   - maximum: Its value.
    ///   - count: How many things it cut off.
    func reached(_ limit: Limit, maximum: Int, count: Int = 1) {
        var state = states[limit] ?? State()
        counters[limit] &+= UInt64(clamping: count)
        let now = seconds()
        if state.warned.map({ now - $0 >= Self.interval }) ?? true {
            log.warning(
                "limit reached",
                [
                    "limit": limit.rawValue,
                    "maximum": String(maximum),
                    "times": String(counters[limit] &- state.reported),
                    "effect": limit.effect,
                ]
            )
            state.warned = now
            state.reported = counters[limit]
        }
        states[limit] = state
    }

    /// How often a limit cut something off.
    func count(of limit: Limit) -> UInt64 {
        counters[limit]
    }
}
