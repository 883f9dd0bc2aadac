/// Counts what did not reach its destination, remembers the latest, and logs each reason at most
/// once a minute.
///
/// The line is a warning, but for a destination without a listener, or one that the owner of the
/// network keeps guests from: that is as it should be.
///
/// A repeated failure, by another port of the same guest to the same place, is one entry with a
/// count, so that a program that retries does not displace the others.
final class FailureLog {
    /// Limit on remembered failures; the oldest makes room.
    static let capacity = 50
    /// The time between two lines about one reason.
    static let interval: Duration = .seconds(60)

    /// A remembered failure.
    struct Entry: Equatable {
        /// The latest of them.
        var flow: FailedFlow
        /// The name that a guest resolved to the address; nil if none did.
        var name: String?
        /// When it last happened.
        var time: Instant
        var count: UInt64
    }

    private struct Warning {
        /// The counter at the last warning.
        var reported: UInt64
        var time: Instant
    }

    private let log: Logger
    /// How often each reason occurred.
    private(set) var counters = ReasonCounters<FlowFailure>()
    /// The latest failures, oldest first.
    private(set) var entries: [Entry] = []
    private var warnings: [FlowFailure: Warning] = [:]
    /// The name that guests know for an address; set by the network that has a DNS server.
    var name: (IPAddress) -> String? = { _ in nil }

    /// Called for each failure that was recorded.
    var recorded: (Entry) -> Void = { _ in }

    /// Creates an empty log.
    ///
    /// - Parameter log: Receives these lines, and each other failure at level debug.
    init(_ log: Logger) {
        self.log = log
    }

    /// Counts and remembers a failure.
    ///
    /// - Parameters:
    ///   - flow: What failed.
    ///   - now: The loop's clock.
    func record(_ flow: FailedFlow, now: Instant) {
        counters.count(flow.reason)
        let entry = remember(flow, now: now)
        recorded(entry)
        let isDue = warnings[flow.reason].map { now - $0.time >= Self.interval } ?? true
        guard isDue else {
            return log.log(.debug, Self.message(flow), fields: fields(entry))
        }
        let count = counters[flow.reason]
        let times = count &- (warnings[flow.reason]?.reported ?? 0)
        warnings[flow.reason] = Warning(reported: count, time: now)
        log.log(
            flow.reason.isExpected ? .info : .warning,
            Self.message(flow),
            fields: fields(entry) + [("times", "\(times)"), ("next", flow.reason.nextStep)]
        )
    }

    private func remember(_ flow: FailedFlow, now: Instant) -> Entry {
        let name = flow.name ?? (flow.reason.isOfForward ? nil : name(flow.remote.address))
        var entry = Entry(flow: flow, name: name, time: now, count: 1)
        if let index = entries.lastIndex(where: { Self.isRepeated($0.flow, by: flow) }) {
            entry.count = entries.remove(at: index).count &+ 1
        }
        if entries.count >= Self.capacity { entries.removeFirst() }
        entries.append(entry)
        return entry
    }

    private static func isRepeated(_ flow: FailedFlow, by other: FailedFlow) -> Bool {
        guard flow.reason == other.reason, flow.transport == other.transport,
            flow.guest.address == other.guest.address
        else { return false }
        // The clients of a forward have changing ports, and the guest of one does not.
        return flow.reason.isOfForward
            ? flow.guest == other.guest && flow.remote.address == other.remote.address
            : flow.remote == other.remote
    }

    private static func message(_ flow: FailedFlow) -> String {
        flow.reason.isOfForward ? "a guest did not accept a connection" : "connection failed"
    }

    private func fields(_ entry: Entry) -> [(key: String, value: String)] {
        let flow = entry.flow
        let (guest, remote) = (flow.text(of: flow.guest), flow.text(of: flow.remote))
        var fields = [("reason", flow.reason.rawValue), ("protocol", flow.protocolName)]
        fields +=
            flow.reason.isOfForward
            ? [("client", remote), ("guest", guest)] : [("guest", guest), ("destination", remote)]
        if let name = entry.name { fields.append(("name", name)) }
        if flow.errno != 0 { fields.append(("error", SystemError.message(flow.errno))) }
        return fields
    }
}
