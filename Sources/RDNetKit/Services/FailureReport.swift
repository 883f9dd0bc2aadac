/// The content of `/flows/failed`: the latest failures, and the connections that wait for an answer
/// for so long that they may become one.
struct FailureReport {
    /// The age at which a connection without an answer is shown.
    static let patience: Duration = .seconds(3)

    let engine: PacketEngine

    /// Oldest first.
    var json: JSON {
        let now = engine.loop.now
        return .array(
            engine.failures.entries.map { json($0, now: now) } + waiting(now: now)
        )
    }

    private func json(_ entry: FailureLog.Entry, now: Instant) -> JSON {
        .object(
            Self.members(entry) + [
                JSON.Member("count", .integer(entry.count)),
                JSON.Member("age", .seconds(now - entry.time)),
                JSON.Member("next", .string(entry.flow.reason.nextStep)),
            ]
        )
    }

    /// What failed, and why.
    static func members(_ entry: FailureLog.Entry) -> [JSON.Member] {
        let flow = entry.flow
        return [
            JSON.Member("protocol", .string(flow.protocolName)),
            JSON.Member("guest", .string(flow.text(of: flow.guest))),
            JSON.Member("remote", .string(flow.text(of: flow.remote))),
        ] + name(entry.name) + [
            JSON.Member("reason", .string(flow.reason.rawValue)),
            JSON.Member("isForward", .bool(flow.reason.isOfForward)),
        ] + error(flow.errno)
    }

    private func waiting(now: Instant) -> [JSON] {
        let flows = engine.tcp.all.filter {
            $0.phase == .connecting && now - $0.traffic.start >= Self.patience
        }
        return flows.prefix(FailureLog.capacity).map { flow in
            .object(
                [
                    JSON.Member("protocol", .string("tcp")),
                    JSON.Member("guest", .string("\(flow.key.guest)")),
                    JSON.Member("remote", .string("\(flow.key.remote)")),
                ] + Self.name(flow.server?.name ?? engine.failures.name(flow.key.remote.address))
                    + [
                        JSON.Member("reason", .string("no_answer_yet")),
                        JSON.Member("isForward", .bool(false)), JSON.Member("count", .integer(1)),
                        JSON.Member("age", .seconds(now - flow.traffic.start)),
                        JSON.Member("next", .string(FlowFailure.timedOut.nextStep)),
                    ]
            )
        }
    }

    private static func name(_ name: String?) -> [JSON.Member] {
        name.map { [JSON.Member("name", .string($0))] } ?? []
    }

    private static func error(_ errno: Int32) -> [JSON.Member] {
        errno == 0 ? [] : [JSON.Member("error", .string(SystemError.message(errno)))]
    }
}
