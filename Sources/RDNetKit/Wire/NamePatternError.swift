/// Why a text is no expression; the sentences are those of Go's `regexp` package.
struct NamePatternError: Error, Equatable, CustomStringConvertible {
    /// What is wrong.
    enum Reason: String {
        case badClass = "invalid character class range"
        case badEscape = "invalid escape sequence"
        case badGroupName = "invalid named capture"
        case badGroup = "invalid or unsupported Perl syntax"
        case badRepetition = "invalid nested repetition operator"
        case badCount = "invalid repeat count"
        case missingBracket = "missing closing ]"
        case missingParenthesis = "missing closing )"
        case missingArgument = "missing argument to repetition operator"
        case trailingBackslash = "trailing backslash at end of expression"
        case unexpectedParenthesis = "unexpected )"
        case tooDeep = "expression nests too deeply"
        case tooLarge = "expression too large"
        /// Not one of Go's, which knows them.
        case unicodeClass = "unsupported Unicode class"
    }

    let reason: Reason
    /// The part of the text that is wrong.
    let part: String

    init(_ reason: Reason, _ part: String) {
        self.reason = reason
        self.part = part
    }

    var description: String { "error parsing regexp: \(reason.rawValue): `\(part)`" }
}
