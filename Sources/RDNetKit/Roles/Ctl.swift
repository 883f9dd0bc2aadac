/// The settings of `ctl`.
struct CtlSettings: RoleSettings {
    var common = CommonSettings()
    /// Nil when nobody has said.
    var api: StreamAddress?
    var printsJSON = false
    /// Nil for what `local` looks like.
    var transport: ForwardProtocol?

    var conflict: SettingsConflict? { nil }
}

extension Option<CtlSettings> {
    /// The options of `ctl`.
    static let ctl: [Option<CtlSettings>] =
        [
            Option(
                "api",
                \.api,
                .optional(.stream),
                reach: .everyRole,
                unset: "none",
                help: "where the API of the network is that is asked",
                reason: """
                    The address that host-switch was given as --api, or gvproxy as -listen or \
                    -services. There is no usual one, so it must be said here, in RDNET_API or in the \
                    configuration file.
                    """
            ),
            Option(
                "json",
                \.printsJSON,
                .boolean,
                reach: .commandLine,
                help: "print the API's own document, for programs",
                reason: "It is printed as it came; of a change that was made there is none."
            ),
            Option(
                "protocol",
                \.transport,
                .optional(.transport),
                reach: .commandLine,
                unset: "unix where LOCAL is a path, else tcp",
                help: "what expose and unexpose are about: tcp, udp or unix",
                reason: """
                    With unix LOCAL is the path of a socket on the host, and REMOTE \
                    tcp://ADDRESS:PORT.
                    """
            ),
        ]
        + Option.common
}

extension ValueSyntax where Value == ForwardProtocol {
    /// A forward's transport.
    fileprivate static let transport = ValueSyntax(
        placeholder: "PROTOCOL",
        expected: "tcp, udp or unix",
        parse: { ForwardProtocol(rawValue: $0) },
        text: { $0.rawValue }
    )
}

extension Role {
    /// The questions to a network that runs.
    static let ctl = Role(
        name: "ctl",
        summary: "asks a running network: forwards, leases, names, flows",
        operands: "COMMAND",
        options: Option.ctl,
        commands: ControlCommand.all,
        hasMixedArguments: true
    ) { start throws(RoleFailure) in try CtlSession(start).run() }
}
