/// The commands of `ctl policy`.
extension CtlSession {
    private static let pendingPath = "/policy/pending"

    /// Sends a command about the policy and prints the answer.
    func ask(_ command: PolicyCommand) throws(APIFailure) {
        switch command {
        case .show: try show("/policy", CtlPolicyReport.state)
        case .check(let destination):
            let query = URLPath.encoded(destination)
            try show("/policy/check?destination=" + query, CtlPolicyReport.check)
        case .add(let rule): try post("/policy/add", Self.document(rule))
        case .remove(let rule): try post("/policy/remove", Self.document(rule))
        case .answer(let number, let isAllowed):
            try answer(number, isAllowed: isAllowed, isAlways: settings.isAlways)
        case .reload: try post("/policy/reload", .object([]))
        case .log: try show("/policy/log", CtlPolicyReport.log)
        case .report: try show("/policy/report", CtlPolicyReport.report)
        case .pending: try show(Self.pendingPath, CtlPolicyReport.questions)
        case .watch: try watch()
        }
    }

    /// Answers an open question.
    ///
    /// - Parameters:
    ///   - number: The question's.
    ///   - isAllowed: The answer.
    ///   - isAlways: Whether it becomes a rule.
    /// - Throws: `APIFailure`.
    func answer(_ number: Int, isAllowed: Bool, isAlways: Bool) throws(APIFailure) {
        try post(
            "/policy/answer",
            .object([
                JSON.Member("number", .integer(UInt64(number))),
                JSON.Member("allow", .bool(isAllowed)),
                JSON.Member("always", .bool(isAlways)),
            ])
        )
    }

    private static func document(_ rule: PolicyRule) -> JSON {
        .object([JSON.Member("rule", .string(rule.description))])
    }

    /// Prints each connection that begins to wait, until the API ends.
    private func watch() throws(APIFailure) {
        var last = 0
        while true {
            let questions = try parse(try client.ask(Self.pendingPath), Self.pendingPath)
            for question in questions.elements {
                guard let number = Int(question.text("number")), number > last else { continue }
                last = number
                printOutput(
                    settings.printsJSON
                        ? String(decoding: question.octets, as: UTF8.self).printableJSON + "\n"
                        : CtlPolicyReport.line(question).printable + "\n"
                )
            }
            WaitingSocket.pause(.milliseconds(500))
        }
    }
}
