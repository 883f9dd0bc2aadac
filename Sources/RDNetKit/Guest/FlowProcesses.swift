/// The processes behind the connections of a namespace, found while somebody asks for them.
///
/// The first question about a connection starts the search, a later one has the answer.
final class FlowProcesses {
    /// Limit on remembered answers.
    private static let capacity = 4_096

    /// What identifies a connection: a port can be used again.
    struct Connection {
        var guest: Endpoint
        var remote: Endpoint
        var start: Instant

        fileprivate var key: String { "\(guest) \(remote) \(start.nanoseconds)" }
    }

    private let finder: ProcessFinder
    /// Empty for a process that was not found.
    private var answers: [String: String] = [:]

    /// Creates the object without answers.
    init(_ finder: ProcessFinder) {
        self.finder = finder
    }

    /// The process as people read it; nil while it is unknown.
    func process(of connection: Connection) -> String? {
        let key = connection.key
        if let answer = answers[key] { return answer.isEmpty ? nil : answer }
        guard finder.hasRoom else { return nil }
        if answers.count >= Self.capacity { answers = [:] }
        answers[key] = ""
        finder.find(connectingTo: connection.remote, from: connection.guest.port) {
            [weak self] process in
            self?.answers[key] = process ?? ""
        }
        return nil
    }
}
