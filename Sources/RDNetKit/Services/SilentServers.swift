/// Which servers have not answered anything lately.
///
/// A server counts as silent when a query went unanswered for its whole time and no other query has
/// been answered meanwhile; slowness with one name is not silence. The first answer, or `memory`,
/// ends it.
struct SilentServers {
    /// How long a silent server is remembered.
    static let memory = Duration.seconds(5)

    /// When each server answered last.
    private var heard: [ZonedEndpoint: Instant] = [:]
    /// Until when each server counts as silent.
    private var ends: [ZonedEndpoint: Instant] = [:]

    func contains(_ server: ZonedEndpoint, now: Instant) -> Bool {
        ends[server].map { now < $0 } ?? false
    }

    /// Takes down that a server has answered.
    mutating func heard(from server: ZonedEndpoint, now: Instant) {
        heard[server] = now
        ends[server] = nil
    }

    /// Takes down that a server has not answered a query.
    ///
    /// - Parameters:
    ///   - server: The server.
    ///   - start: When it was asked.
    ///   - now: When its time was over.
    mutating func missed(_ server: ZonedEndpoint, since start: Instant, now: Instant) {
        if let last = heard[server], last >= start { return }
        ends[server] = now + Self.memory
    }
}
