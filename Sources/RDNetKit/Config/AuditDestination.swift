/// Where a policy's decisions are recorded.
enum AuditDestination: Equatable, Sendable {
    case nowhere
    case file(String)
    /// A descriptor that the program was started with.
    case descriptor(Int32)
    /// The machine's log, one message for each object (syslog(3)).
    case systemLog

    /// The file's path; empty if it is no file.
    var path: String {
        if case .file(let path) = self { path } else { "" }
    }
}

extension ValueSyntax where Value == AuditDestination {
    /// A path, a descriptor or a word.
    static let audit = ValueSyntax(
        placeholder: "FILE|fd:N|syslog",
        expected: "a path, fd: and the number of an open descriptor from 1, or syslog",
        parse: { text in
            if text.isEmpty { return .nowhere }
            if text == "syslog" { return .systemLog }
            guard text.hasPrefix("fd:") else { return .file(text) }
            let digits = text.dropFirst(3)
            guard let number = Int32(digits), number > 0, "\(number)" == digits else { return nil }
            return .descriptor(number)
        },
        text: { destination in
            switch destination {
            case .nowhere: ""
            case .file(let path): path
            case .descriptor(let number): "fd:\(number)"
            case .systemLog: "syslog"
            }
        }
    )
}
