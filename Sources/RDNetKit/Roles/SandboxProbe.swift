/// Tries from inside the sandbox what an attacker would, for `--sandbox probe`.
enum SandboxProbe {
    /// Runs all attempts, and logs the system calls that were refused.
    ///
    /// - Parameters:
    ///   - loop: The loop of the refused calls.
    ///   - needed: The names of attempts that the role may succeed in.
    ///   - printOutput: Prints one line for each attempt.
    /// - Returns: Success if everything was refused.
    /// - Throws: `SystemError`.
    static func run(
        on loop: EventLoop,
        needed: Set<String> = [],
        _ printOutput: (String) -> Void
    ) throws(SystemError) -> ExitCode {
        let attempts = BreakOut.attempts()
        let rows = attempts.map { name, error in
            let success = needed.contains(name) ? "possible, and needed" : "POSSIBLE"
            return [name, error.map { "refused: \($0.reason)" } ?? success]
        }
        printOutput(TextTable(columns: [.words("ATTEMPT"), .words("OUTCOME")], rows: rows).text)
        let possible = attempts.count { $0.error == nil && !needed.contains($0.name) }
        let rest = needed.isEmpty ? "everything" : "everything else"
        printOutput(possible == 0 ? "\(rest) was refused\n" : "\(possible) were possible\n")
        try loop.turn(waitingAtMost: .zero)
        return possible == 0 ? .success : .failure
    }
}
