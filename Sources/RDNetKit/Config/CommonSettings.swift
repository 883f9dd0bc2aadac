/// The settings of every role: logging and the configuration file.
struct CommonSettings: Sendable {
    /// Read if it exists and no other file is named.
    static let defaultConfigurationFile = "/etc/rdnet.conf"

    var configurationFile = CommonSettings.defaultConfigurationFile
    var printsConfiguration = false
    var isDebugging = false
    var leastLogLevel = LogLevel.info
    var logFormat = LogFormat.text
    /// Empty: standard error.
    var logFile = ""
    /// Whether a log file keeps its content when the program starts.
    var appendsToLogFile = true

    /// The effective level; `-debug` overrides the other option.
    var logLevel: LogLevel { isDebugging ? .debug : leastLogLevel }
}

extension Option {
    /// The option for a role whose original prints its own version.
    static func version(
        _ path: any WritableKeyPath<Settings, Bool> & Sendable,
        named name: String = "version",
        reason: String = ""
    ) -> Option {
        Option(
            name,
            path,
            .boolean,
            reach: .commandLine,
            help: "print the version and exit",
            reason: reason
        )
    }
}

extension Option where Settings: RoleSettings {
    /// The options of every role, in usage order.
    static var common: [Option] {
        Option<CommonSettings>.all.map { $0.within(\.common) }
    }
}

extension Option<CommonSettings> {
    fileprivate static let all = [
        Option(
            "debug",
            \.isDebugging,
            .boolean,
            reach: .everyRole,
            help: "log at level debug",
            reason: "It is short for --log-level debug and overrides that option."
        ),
        Option(
            "log-level",
            \.leastLogLevel,
            .logLevel,
            reach: .everyRole,
            help: "the lowest level to log: debug, info, warning, error or fatal",
            reason: "Level info reports changes, never single packets."
        ),
        Option(
            "log-format",
            \.logFormat,
            .logFormat,
            reach: .everyRole,
            help: "the log format: text (key=value) or json (one object per line)",
            reason: "Text is colored on a terminal."
        ),
        Option(
            "logfile",
            \.logFile,
            .optionalPath,
            reach: .everyRole,
            unset: "standard error",
            help: "the file to append log lines to",
            reason: """
                SIGHUP reopens the file, for log rotation; up passes the signal to its command. \
                Lines that would block the program, for example on a full pipe, are dropped, \
                counted and reported.
                """
        ),
        Option(
            "config",
            \.configurationFile,
            .path,
            reach: .commandLine,
            help: "the configuration file",
            reason: "The default file may be missing; a file named here must exist."
        ),
        Option(
            "print-config",
            \.printsConfiguration,
            .boolean,
            reach: .commandLine,
            help: "print every value and its source, and exit",
            reason: "The output is an equivalent configuration file."
        ),
    ]
}
