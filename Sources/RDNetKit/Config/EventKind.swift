/// What an event of a network is about.
enum EventKind: String, CaseIterable, Sendable {
    case link, lease, forward, flow, drop, policy
}
