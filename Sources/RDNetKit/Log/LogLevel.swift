/// How much a line matters, in the words and the order of logrus.
enum LogLevel: Int, Comparable, Sendable, CaseIterable {
    case debug
    case info
    case warning
    case error
    /// The program ends because of it.
    case fatal

    /// The word of `level=` and of `--log-level`.
    var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        case .fatal: "fatal"
        }
    }

    /// The four letters of a coloured line.
    var abbreviation: String { String(name.uppercased().prefix(4)) }

    /// The number of the terminal's colour (ECMA-48, SGR 30 to 37), as logrus chooses it.
    var colour: Int {
        switch self {
        case .debug: 37
        case .info: 36
        case .warning: 33
        case .error, .fatal: 31
        }
    }

    static func < (left: LogLevel, right: LogLevel) -> Bool {
        left.rawValue < right.rawValue
    }
}
