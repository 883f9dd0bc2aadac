/// The API's documents about the egress policy as human-readable tables.
enum CtlPolicyReport {
    /// The rules in order, and how often each verdict was given.
    static func state(_ document: JSON, cellWidth: Int? = nil) -> String {
        guard document.member("on") == .bool(true) else {
            return "there is no policy: guests reach whatever the host reaches\n"
        }
        let rules = document.member("rules")?.elements ?? []
        let table = TextTable(
            columns: [.words("RULE"), .words("FROM")],
            rows: rules.map { [$0.text("rule"), $0.text("source")] }
                + [["otherwise " + document.text("default"), ""]],
            cellWidth: cellWidth
        )
        let decisions = document.member("decisions")?.members ?? []
        let counts = decisions.map { "\($0.name) \($0.value.text)" }.joined(separator: ", ")
        return table.text + "decisions: \(counts)\n"
            + "addresses with a name: \(document.text("pinnedAddresses"))\n"
    }

    /// What would happen to a connection.
    static func check(_ document: JSON, cellWidth: Int? = nil) -> String {
        let rule = document.text("rule")
        var text = document.text("verdict").printable
        if !rule.isEmpty { text += " (\(rule.printable))" }
        let names = document.text("dns")
        if !names.isEmpty { text += "; queries for the name: \(names.printable)" }
        return text + "\n"
    }

    /// The latest decisions, oldest first.
    static func log(_ document: JSON, cellWidth: Int? = nil) -> String {
        TextTable(
            columns: [
                .words("TIME"), .words("GUEST"), .words("PROTOCOL"), .words("DESTINATION"),
                .words("NAME"), .words("VERDICT"), .words("RULE"), .numbers("TIMES"),
            ],
            rows: document.elements.map { record in
                ["time", "guest", "protocol", "destination", "name", "verdict", "rule", "count"]
                    .map(record.text)
            },
            cellWidth: cellWidth
        ).text
    }

    /// Rules to paste into a policy file, with what happens to that traffic now.
    static func report(_ document: JSON, cellWidth: Int? = nil) -> String {
        let rules = document.member("rules")?.elements ?? []
        let lines = rules.map { rule in
            let words = rule.text("rule").printable.split(separator: " ", maxSplits: 1)
            let value = words.count > 1 ? words[1] : ""
            return "allow = \(value)  # \(rule.text("count").printable) times, "
                + "now \(rule.text("verdict").printable)\n"
        }
        let note =
            document.member("isCut") == .bool(true)
            ? "# there were more destinations than the report holds\n" : ""
        return "[rules]\n" + lines.joined() + note
    }

    /// The connections that wait for an answer, oldest first.
    static func questions(_ document: JSON, cellWidth: Int? = nil) -> String {
        TextTable(
            columns: [
                .numbers("N"), .words("GUEST"), .words("PROTOCOL"), .words("DESTINATION"),
                .words("NAME"), .words("PROCESS"), .numbers("SECONDS LEFT"),
            ],
            rows: document.elements.map { question in
                ["number", "guest", "protocol", "destination", "name", "process", "secondsLeft"]
                    .map(question.text)
            },
            cellWidth: cellWidth
        ).text
    }

    /// One connection that waits, in a line.
    static func line(_ question: JSON) -> String {
        let name = question.text("name")
        let process = question.text("process")
        return "\(question.text("number")): \(question.text("guest")) wants "
            + "\(question.text("protocol")) \(question.text("destination"))"
            + (name.isEmpty ? "" : " (\(name))") + (process.isEmpty ? "" : " for \(process)")
    }
}
