/// What a program leaves to whoever started it.
struct ExitCode: Equatable, Sendable {
    let rawValue: Int32

    static let success = ExitCode(rawValue: 0)
    /// It could not start, or could not go on.
    static let failure = ExitCode(rawValue: 1)
    /// It was called in a way that makes no sense.
    static let misuse = ExitCode(rawValue: 2)
}

/// Why a role ends, in one sentence.
struct RoleFailure: Error, Equatable {
    /// What was tried, what happened, and what would help; without the program's name.
    let sentence: String
    let status: ExitCode

    init(_ sentence: String, status: ExitCode = .failure) {
        self.sentence = sentence
        self.status = status
    }

    /// An option that names a program which cannot be run.
    static func notExecutable(_ path: String, option: String) -> RoleFailure {
        RoleFailure(
            "--\(option): \"\(path)\" is not a program; expected the path of an executable file"
        )
    }

    /// A failure of something the role needs, with status 1.
    init(_ cause: some Error & CustomStringConvertible) {
        self.init(cause.description)
    }
}
