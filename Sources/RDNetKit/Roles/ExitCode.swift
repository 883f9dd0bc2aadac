/// The exit status of the program.
struct ExitCode: Equatable, Sendable {
    let rawValue: Int32

    static let success = ExitCode(rawValue: 0)
    /// The program could not start or could not continue.
    static let failure = ExitCode(rawValue: 1)
    /// The command line or the configuration is invalid.
    static let misuse = ExitCode(rawValue: 2)
}

/// Why a role ends, in one sentence.
struct RoleFailure: Error, Equatable {
    /// The attempt, the result and a remedy; without the program's name.
    let sentence: String
    let status: ExitCode

    init(_ sentence: String, status: ExitCode = .failure) {
        self.sentence = sentence
        self.status = status
    }

    /// An option names a program that cannot be executed.
    static func notExecutable(_ path: String, option: String) -> RoleFailure {
        RoleFailure(
            "--\(option): \"\(path)\" is not a program; expected the path of an executable file"
        )
    }

    /// Creates a failure from an error, with status 1.
    init(_ cause: some Error & CustomStringConvertible) {
        self.init(cause.description)
    }

    /// Returns an error that is a failure already, or creates one with status 1.
    init(wrapping error: any Error) {
        self = error as? RoleFailure ?? RoleFailure("\(error)")
    }
}
