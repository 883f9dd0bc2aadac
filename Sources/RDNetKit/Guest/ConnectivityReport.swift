/// A report of what works in a namespace and what does not: a table, or a JSON document.
///
/// It blocks on each answer, up to two seconds, because it runs in a separate process from the
/// engine.
struct ConnectivityReport {
    /// How the report is written.
    enum Style {
        /// A row for each check as soon as it has ended; verdicts in color for a terminal.
        case table(isColored: Bool)
        case json
    }

    /// The result of a check.
    enum Outcome: Equatable {
        /// It works; the report says how long it took.
        case good
        /// It works, and there is more to say than how long it took.
        case detail(String)
        case problem(String)
    }

    /// The meaning of an outcome.
    private enum Verdict: String {
        case good = "ok"
        /// Something beyond this machine does not work.
        case warning
        case failure = "failed"

        /// The word in the table.
        var word: String {
            switch self {
            case .good: "ok"
            case .warning: "warning"
            case .failure: "FAILED"
            }
        }

        /// The color in a terminal: green, yellow, red (ECMA-48, 8.3.117).
        var color: String {
            switch self {
            case .good: "32"
            case .warning: "33"
            case .failure: "31"
            }
        }
    }

    private struct Check {
        let name: String
        let subject: String
        /// What a problem means.
        var severity = Verdict.failure
        let run: () throws(SystemError) -> Outcome
    }

    let lease: DHCPLease
    let hostAlias: IPAddress
    let targets: ConnectivityTargets
    let style: Style
    /// Returns the current time, for the column of durations.
    let clock: () -> Instant
    let print: (String) -> Void

    /// Runs every check and prints the results.
    ///
    /// - Returns: Whether everything on this machine works.
    func run() -> Bool {
        var verdicts: [Verdict] = []
        var documents: [JSON] = []
        for check in checks {
            let start = clock()
            let outcome = outcome(of: check)
            let milliseconds = milliseconds(clock() - start)
            let verdict = if case .problem = outcome { check.severity } else { Verdict.good }
            verdicts.append(verdict)
            switch style {
            case .table(let isColored):
                row(check, verdict, text(outcome, milliseconds), isColored: isColored)
            case .json:
                documents.append(document(check, verdict, outcome, milliseconds))
            }
        }
        let failures = verdicts.count { $0 == .failure }
        switch style {
        case .table:
            let warnings = verdicts.count { $0 == .warning }
            print(summary(of: verdicts.count, failures: failures, warnings: warnings))
        case .json:
            let members = [
                JSON.Member("ok", .bool(failures == 0)), JSON.Member("checks", .array(documents)),
            ]
            print(String(decoding: JSON.object(members).octets, as: UTF8.self) + "\n")
        }
        return failures == 0
    }

    private var checks: [Check] {
        let host = "\(hostAlias):\(targets.tcpEcho)"
        let udp = "\(hostAlias):\(targets.udpEcho)"
        let address = "\(lease.address)/\(lease.prefixLength) by DHCP, MTU \(lease.mtu ?? 1500)"
        var checks = [
            Check(name: "address", subject: address) { .detail("") },
            Check(name: "gateway", subject: "ping \(lease.server)", run: ping),
            Check(name: "DNS", subject: "gateway.docker.internal", run: resolve),
            Check(name: "TCP", subject: "1 MiB to \(host) and back", run: transfer),
            Check(name: "UDP", subject: "1400 bytes to \(udp) and back", run: exchange),
            Check(
                name: "published",
                subject: "host 127.0.0.1:\(targets.published) → here",
                run: receivePublished
            ),
        ]
        if let ipv6 = lease.ipv6 {
            let route = ipv6.router == nil ? "no default route" : "default route"
            checks.append(
                Check(name: "IPv6", subject: "ping \(ipv6.gateway), \(route)") {
                    () throws(SystemError) in try checkIPv6(ipv6)
                }
            )
        }
        checks += [
            Check(
                name: "speed",
                subject: "TCP to the host for a second",
                run: measureSpeed
            ),
            Check(
                name: "routes",
                subject: "the host's default routes",
                severity: .warning
            ) { checkRoutes() },
        ]
        return checks
            + targets.resolvers.map { resolver in
                Check(
                    name: "resolver",
                    subject: "\(resolver.address), as the host's resolv.conf says",
                    severity: .warning
                ) { () throws(SystemError) in try ask(resolver) }
            }
    }

    private func outcome(of check: Check) -> Outcome {
        do {
            return try check.run()
        } catch {
            return .problem(error.isTimeout ? "no answer in time" : "\(error)")
        }
    }

    // MARK: Texts

    private func summary(of count: Int, failures: Int, warnings: Int) -> String {
        if failures > 0 { return "\(failures) of \(count) failed\n" }
        if warnings == 0 { return "all is well\n" }
        return "all is well on this machine; \(warnings) of \(count) warn\n"
    }

    private func text(_ outcome: Outcome, _ milliseconds: String) -> String {
        switch outcome {
        case .good: " \(milliseconds) ms"
        case .detail(let text): text.isEmpty ? "" : " \(text)"
        case .problem(let text): ": \(text)"
        }
    }

    private func row(_ check: Check, _ verdict: Verdict, _ text: String, isColored: Bool) {
        let word =
            isColored ? "\u{1b}[\(verdict.color)m\(verdict.word)\u{1b}[0m" : verdict.word
        let columns = [check.name.padded(to: 11), check.subject.padded(to: 46)]
        print("  \(columns.joined())\(word)\(text)\n")
    }

    private func document(
        _ check: Check,
        _ verdict: Verdict,
        _ outcome: Outcome,
        _ milliseconds: String
    ) -> JSON {
        var members = [
            JSON.Member("name", .string(check.name)),
            JSON.Member("subject", .string(check.subject)),
            JSON.Member("verdict", .string(verdict.rawValue)),
        ]
        switch outcome {
        case .good: members.append(JSON.Member("milliseconds", .number(milliseconds)))
        case .detail(let text), .problem(let text):
            if !text.isEmpty { members.append(JSON.Member("detail", .string(text))) }
        }
        return .object(members)
    }

    private func milliseconds(_ duration: Duration) -> String {
        let tenths = duration.wholeNanoseconds / 100_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}

extension String {
    /// Returns the text padded with spaces to a width.
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(1, width - count))
    }
}
