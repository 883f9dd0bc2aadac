/// Where an option's value came from.
enum ValueSource: Equatable, Sendable, CustomStringConvertible {
    case defaultValue
    case file(path: String, line: Int)
    case environment(String)
    case argument

    /// The form in `--print-config`.
    var description: String {
        switch self {
        case .defaultValue: "default"
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let name): "environment \(name)"
        case .argument: "argument"
        }
    }
}

/// An invalid configuration and what was expected.
enum ConfigurationError: Error, Equatable {
    /// An argument like `---x` or `-=x`.
    case malformedArgument(String)
    case unknownOption(String, nearest: String?)
    case missingValue(option: String, expected: String)
    /// A value that the option does not accept.
    case invalidValue(option: String, value: String, expected: String, source: ValueSource)
    /// A line that is neither a section, a `key = value` nor a comment.
    case malformedLine(String, source: ValueSource)
    case keyOutsideSection(String, source: ValueSource)
    case unknownSection(String, nearest: String?, source: ValueSource)
    case unknownKey(String, section: String, nearest: String?, source: ValueSource)
    /// The file exists or was named, but cannot be read.
    case unreadableFile(String)
}

extension ConfigurationError: CustomStringConvertible {
    /// One sentence: where, what, what was expected.
    var description: String {
        switch self {
        case .malformedArgument(let argument):
            return "\"\(argument)\" is not an option; expected -NAME, --NAME or --NAME=VALUE"
        case .unknownOption(let name, let nearest):
            return "unknown option --\(name)" + Self.suggestion(nearest.map { "--\($0)" })
        case .missingValue(let option, let expected):
            return "--\(option) needs a value; expected \(expected)"
        case .invalidValue(let option, let value, let expected, let source):
            return Self.place(option, source) + ": \"\(value)\" is not valid; expected \(expected)"
        case .malformedLine(let line, let source):
            return
                "\(source): \"\(line)\" is not valid; expected [SECTION], KEY = VALUE or # comment"
        case .keyOutsideSection(let key, let source):
            return "\(source): \(key) precedes the first section; expected [network] or [ROLE]"
        case .unknownSection(let name, let nearest, let source):
            return "\(source): there is no section [\(name)]"
                + Self.suggestion(nearest.map { "[\($0)]" })
        case .unknownKey(let key, let section, let nearest, let source):
            return "\(source): section [\(section)] has no key \(key)" + Self.suggestion(nearest)
        case .unreadableFile(let reason):
            return reason
        }
    }

    private static func suggestion(_ nearest: String?) -> String {
        nearest.map { "; did you mean \($0)?" } ?? ""
    }

    private static func place(_ option: String, _ source: ValueSource) -> String {
        switch source {
        case .defaultValue, .argument: "--\(option)"
        case .file: "\(source): \(option)"
        case .environment(let name): "environment variable \(name)"
        }
    }
}
