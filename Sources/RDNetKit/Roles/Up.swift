/// The settings of `up`.
struct UpSettings: RoleSettings {
    var common = CommonSettings()
    var network = NetworkSettings()
    var sandbox = SandboxSettings()
    /// Whether the command runs as the caller if a user namespace is needed.
    var keepsUser = false
    /// Whether the report is printed, even on a terminal.
    var printsReport = false
    /// Whether the report is a JSON document.
    var printsJSON = false

    init() {
        network.reachesGuestLoopback = true
        // The user or a script expects the command's output, not this program's.
        common.leastLogLevel = .warning
    }

    var wantsReport: Bool { printsReport || printsJSON }

    var conflict: SettingsConflict? { network.conflict }
}

extension Option<UpSettings> {
    /// The options of `up`.
    static let up: [Option<UpSettings>] =
        Option.network(within: \.network) + [keepUID, report, json] + sandbox
        + Option.common

    private static let keepUID = Option(
        "keep-uid",
        \.keepsUser,
        .boolean,
        help: "run the command as the user who starts it, without privileges",
        reason: """
            By default, an ordinary user's command runs as root in its user namespace, which programs \
            that set up a network need; this option keeps the user. As root, there is no \
            user namespace, and the option changes nothing.
            """
    )

    private static let report = Option(
        "report",
        \.printsReport,
        .boolean,
        help: "print what works, and exit",
        reason: """
            It is the default without a terminal and without a command; with a terminal, a shell \
            starts otherwise.
            """
    )
    private static let json = Option(
        "json",
        \.printsJSON,
        .boolean,
        help: "like --report, as a JSON document",
        reason: "For scripts; the exit status is the same."
    )

    private static var sandbox: [Option<UpSettings>] {
        [Option<SandboxSettings>.sandboxMode, .socketFolder].map { $0.within(\.sandbox) }
    }
}

extension Role {
    /// Runs both ends on one machine.
    static let up = Role(
        name: "up",
        summary: "runs a command in a namespace whose only network is rdnet",
        operands: "[--] [COMMAND [ARGUMENT ...]]",
        options: Option.up
    ) { start throws(RoleFailure) in try UpSession.run(start) }
}
