/// What every role can be told: how to log, and where else to look.
struct CommonSettings: Sendable {
    /// Read when it is there and no other file is named.
    static let defaultConfigurationFile = "/etc/rdnet.conf"

    var configurationFile = CommonSettings.defaultConfigurationFile
    var printsConfiguration = false
    var isDebugging = false
    var leastLogLevel = LogLevel.info
    var logFormat = LogFormat.text
    /// Empty for standard error.
    var logFile = ""
    /// Whether a log file keeps its content when the program starts.
    var appendsToLogFile = true

    /// The level to log at: `-debug` is the shorter way to say it.
    var logLevel: LogLevel { isDebugging ? .debug : leastLogLevel }
}

extension Option where Settings: RoleSettings {
    /// The options of every role, in the order of its usage text.
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
            reason: "The short form of --log-level debug, and stronger than it."
        ),
        Option(
            "log-level",
            \.leastLogLevel,
            .logLevel,
            reach: .everyRole,
            help: "the lowest level that is logged: debug, info, warning, error or fatal",
            reason: "At info a line tells of a change, never of a packet."
        ),
        Option(
            "log-format",
            \.logFormat,
            .logFormat,
            reach: .everyRole,
            help: "text for key=value lines, json for one object a line",
            reason: "Text is coloured when it goes to a terminal."
        ),
        Option(
            "logfile",
            \.logFile,
            .optionalPath,
            reach: .everyRole,
            unset: "standard error",
            help: "the file to append log lines to",
            reason: """
                SIGHUP opens the file again, for log rotation. Lines that would make the program wait, \
                such as those to a full pipe, are dropped, counted and reported.
                """
        ),
        Option(
            "config",
            \.configurationFile,
            .path,
            reach: .commandLine,
            help: "the configuration file",
            reason: "The default file may be absent; one that is named here may not."
        ),
        Option(
            "print-config",
            \.printsConfiguration,
            .boolean,
            reach: .commandLine,
            help: "print every value and where it came from, and end",
            reason: "What is printed is a configuration file that says the same."
        ),
    ]
}
