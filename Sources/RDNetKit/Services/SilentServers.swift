/// The servers that have recently answered no query.
///
/// A server is silent if a query timed out and no other query was answered meanwhile; a slow answer
/// for one name does not count. The state ends with the first answer, or after `memory`.
struct SilentServers {
    /// The time for which a silent server is remembered.
    static let memory = Duration.seconds(5)

    /// The time of each server's latest answer.
    private var heard: [ZonedEndpoint: Instant] = [:]
    /// The time until which each server counts as silent.
    private var ends: [ZonedEndpoint: Instant] = [:]

    func contains(_ server: ZonedEndpoint, now: Instant) -> Bool {
        ends[server].map { now < $0 } ?? false
    }

    /// Records an answer from a server.
    mutating func heard(from server: ZonedEndpoint, now: Instant) {
        heard[server] = now
        ends[server] = nil
    }

    /// Records that a server has not answered a query.
    ///
    /// - Parameters:
    ///   - server: The server.
    ///   - start: When the query was sent.
    ///   - now: When the query timed out.
    mutating func missed(_ server: ZonedEndpoint, since start: Instant, now: Instant) {
        if let last = heard[server], last >= start { return }
        ends[server] = now + Self.memory
    }
}
