/// The host's resolvers, with their timeouts and attempts (resolv.conf(5)).
struct ResolverConfiguration: Equatable, Sendable {
    static let port: UInt16 = 53
    static let serverLimit = 8
    static let searchLimit = 32
    private static let attemptRange = 1...5
    private static let secondsRange = 1...5

    /// The servers in the order of the file; empty if the host has no resolver.
    var servers: [ZonedEndpoint] = []
    /// The domains that complete the host's short names.
    var searchDomains: [String] = []
    /// The time after which a silent server is joined by the next one.
    var timeout = Duration.seconds(2)
    /// The number of attempts per server.
    var attempts = 2
    /// Servers beyond `serverLimit`, which are ignored.
    private(set) var ignoredServers = 0
    /// Domains beyond `searchLimit`, which are ignored.
    private(set) var ignoredDomains = 0
    /// Whether the servers are equal, so that any of them may be queried first.
    var rotates = false

    init() {}

    /// Reads a resolv.conf; skips unknown and invalid lines.
    init(parsing contents: [UInt8]) {
        let text = ByteOrderMark.skipped(in: contents)
        for line in text.split(whereSeparator: { $0 == 0x0a || $0 == 0x0d }) {
            let words = line.split { $0 == 0x20 || $0 == 0x09 }
                .map { String(decoding: $0, as: UTF8.self) }
            guard let keyword = words.first else { continue }
            read(keyword, words.dropFirst())
        }
    }

    private mutating func read(_ keyword: String, _ values: ArraySlice<String>) {
        switch keyword {
        case "nameserver":
            let server = values.first.flatMap { ZonedEndpoint(address: $0, port: Self.port) }
            guard let server else { return }
            if servers.contains(server) { return }
            if servers.count < Self.serverLimit {
                servers.append(server)
            } else {
                ignoredServers += 1
            }
        case "search", "domain":
            // The last line of either kind counts.
            let domains = values.filter { (DNSName($0) ?? .root) != .root }
            searchDomains = Array(domains.prefix(Self.searchLimit))
            ignoredDomains = domains.count - searchDomains.count
        case "options":
            for option in values { read(option: option) }
        default:
            return
        }
    }

    private mutating func read(option: String) {
        if option == "rotate" { rotates = true }
        let parts = option.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, let number = Int(parts[1]) else { return }
        switch parts[0] {
        case "timeout": timeout = .seconds(Self.clamped(number, to: Self.secondsRange))
        case "attempts": attempts = Self.clamped(number, to: Self.attemptRange)
        default: return
        }
    }

    private static func clamped(_ number: Int, to range: ClosedRange<Int>) -> Int {
        min(max(number, range.lowerBound), range.upperBound)
    }
}

/// The host's resolver configuration, reloaded when its file changes.
struct HostResolvers {
    static let limit = 64 << 10

    private var file: FollowedFile
    private let fixedServers: [ZonedEndpoint]
    private(set) var configuration = ResolverConfiguration()
    /// Whether the file is larger than `limit`; the rest is ignored.
    var isCut: Bool { file.isCut }

    /// Creates a configuration that follows a file.
    ///
    /// - Parameters:
    ///   - path: The path of the file: /etc/resolv.conf.
    ///   - fixedServers: Servers to query instead of the file's; if empty, the file's servers are
    ///     used.
    init(path: String, fixedServers: [ZonedEndpoint]) {
        file = FollowedFile(path: path, limit: Self.limit)
        self.fixedServers = fixedServers
    }

    /// Reads the file if it has changed.
    ///
    /// - Parameter now: The caller's clock.
    /// - Returns: Whether the file was read, for the first time or because it has changed.
    mutating func refresh(now: Instant) -> Bool {
        guard let contents = file.contentsIfChanged(now: now) else { return false }
        configuration = ResolverConfiguration(parsing: contents)
        if !fixedServers.isEmpty { configuration.servers = fixedServers }
        return true
    }
}
