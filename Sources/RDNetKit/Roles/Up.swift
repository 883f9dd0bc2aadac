/// The settings of `up`.
struct UpSettings: RoleSettings {
    var common = CommonSettings()
    var network = NetworkSettings()

    init() {
        // A person or a script waits for the command's output, not for this program's.
        common.leastLogLevel = .warning
    }

    var conflict: SettingsConflict? { network.conflict }
}

extension Option<UpSettings> {
    /// The options of `up`.
    static let up: [Option<UpSettings>] =
        Option.network(within: \.network)
        + Option.common
}

extension Role {
    /// Everything on one machine.
    static let up = Role(
        name: "up",
        summary: "runs a command in a namespace whose only network is rdnet",
        operands: "[--] [COMMAND [ARGUMENT ...]]",
        options: Option.up
    ) { start throws(RoleFailure) in try UpSession.run(start) }
}
