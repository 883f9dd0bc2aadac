/// The API's view of the log: which level is written; clients can change it.
struct LogLevelAPI {
    private static let record = JSONRecord(name: "LogLevel", fields: [("level", "string")])

    let log: Logger

    var routes: [HTTPRoute] {
        [
            HTTPRoute("/log-level") { _, _ in
                .json(.object([JSON.Member("level", .string(log.level.name))]))
            },
            HTTPRoute(posting: "/log-level/set", Self.record.read) { fields, _ in
                let text = fields["level", default: ""]
                guard let level = LogLevel.allCases.first(where: { $0.name == text }) else {
                    let names = LogLevel.allCases.map(\.name).joined(separator: ", ")
                    return .error(400, "level: \"\(text)\" is not valid; expected one of \(names)")
                }
                let previous = log.level
                // Written if either the old or the new level lets it through.
                log.level = min(previous, level)
                log.log(
                    max(log.level, .info),
                    "log level changed",
                    ["from": previous.name, "to": level.name]
                )
                log.level = level
                return .empty
            },
        ]
    }
}
