/// The severity of a line, with logrus's names and order.
enum LogLevel: Int, Comparable, Sendable, CaseIterable {
    case debug
    case info
    case warning
    case error
    /// The program exits because of it.
    case fatal

    /// The name in `level=` and in `--log-level`.
    var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        case .fatal: "fatal"
        }
    }

    /// The four letters in a colored line.
    var abbreviation: String { String(name.uppercased().prefix(4)) }

    /// The terminal color (ECMA-48, SGR 30 to 37), as logrus chooses it.
    var color: Int {
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
