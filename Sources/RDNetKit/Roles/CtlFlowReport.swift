/// Tables about what failed.
extension CtlReport {
    /// The latest connections that did not reach their destination, oldest first.
    static func failures(_ document: JSON, cellWidth: Int? = nil) -> String {
        TextTable(
            columns: [
                .words("KIND"), .words("GUEST"), .words("REMOTE"), .words("NAME"),
                .words("REASON"), .numbers("TIMES"), .numbers("AGE"),
            ],
            rows: document.elements.map { flow in
                let kind = flow.text("protocol")
                return [
                    flow.member("isForward") == .bool(true) ? "\(kind) in" : kind,
                    flow.text("guest"), flow.text("remote"), flow.text("name"),
                    flow.text("reason").inWords, flow.text("count"),
                    seconds(flow.text("age")),
                ]
            },
            cellWidth: cellWidth
        ).text
    }

    /// The host ports that lead to guests, in the API's order, which is by name; with the clients
    /// of each, where the program counts them.
    static func forwards(_ document: JSON, cellWidth: Int? = nil) -> String {
        let forwards = document.elements
        let hasUsage = forwards.contains { $0.member("age") != nil }
        let usage: [TextTable.Column] = [
            .numbers("CLIENTS"), .numbers("AGE"), .words("LAST RESULT"),
        ]
        return TextTable(
            columns: [.words("PROTOCOL"), .words("LOCAL"), .words("REMOTE")]
                + (hasUsage ? usage : []),
            rows: forwards.map { forward in
                ["protocol", "local", "remote"].map(forward.text)
                    + (hasUsage
                        ? [
                            forward.text("connections"), seconds(forward.text("age")),
                            lastResult(of: forward),
                        ] : [])
            },
            cellWidth: cellWidth
        ).text
    }

    /// The host's DNS servers in the order of use.
    static func resolvers(_ document: JSON, cellWidth: Int? = nil) -> String {
        guard !document.elements.isEmpty else {
            return "the host has no DNS server: see its resolv.conf, or use --dns-server\n"
        }
        return TextTable(
            columns: [
                .words("SERVER"), .words("STATE"), .numbers("QUERIES"), .numbers("ANSWERS"),
                .numbers("FAILURES"), .numbers("TIMEOUTS"), .numbers("LATENCY"),
                .numbers("LAST ANSWER"), .words("CAUSE"),
            ],
            rows: document.elements.map { server in
                ["server", "state", "queries", "answers", "failures", "timeouts"]
                    .map(server.text)
                    + [
                        milliseconds(server.text("latencyMicroseconds")),
                        ago(server.text("lastAnswer")), server.text("fault"),
                    ]
            },
            cellWidth: cellWidth
        ).text
    }

    /// Microseconds as `1.2 ms`.
    static func milliseconds(_ microseconds: String) -> String {
        guard let number = Double(microseconds) else { return microseconds }
        return "\((number / 100).rounded() / 10) ms"
    }

    private static func ago(_ digits: String) -> String {
        digits.isEmpty ? "" : seconds(digits) + " ago"
    }

    private static func lastResult(of forward: JSON) -> String {
        let result = forward.text("lastResult")
        return result.isEmpty ? "" : "\(result) \(seconds(forward.text("lastResultAge"))) ago"
    }
}

extension String {
    /// A name of the API as people read it: `no_route` becomes `no route`.
    var inWords: String {
        split(separator: "_", omittingEmptySubsequences: false).joined(separator: " ")
    }
}
