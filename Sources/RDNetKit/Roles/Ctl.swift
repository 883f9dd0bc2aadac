/// The settings of `ctl`.
struct CtlSettings: RoleSettings {
    var common = CommonSettings()
    /// Nil if it is not set.
    var api: StreamAddress?
    /// Empty for none.
    var tokenFile = ""
    var printsJSON = false
    /// Whether a forward ends with the program.
    var holds = false
    /// Whether an answer holds for good.
    var isAlways = false
    /// Whether `flows` shows the failed ones.
    var showsFailures = false
    /// Whether `flows` stays and prints what happens to them.
    var watches = false
    /// What `capture` records, and where.
    var capture = CtlCaptureSettings()
    /// What Wireshark asks of the role `extcap`.
    var extcap = ExtcapSettings()
    /// Nil to derive it from the form of `local`.
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
                .optional(.service),
                reach: .everyRole,
                unset: "the only network that runs",
                help: "the address of the network's API",
                reason: """
                    It is the address in host-switch's --api or gvproxy's -listen or -services; a \
                    path and localhost:PORT are understood, too. By default it is the only network \
                    of this user that offers a socket under the run-time directory; if there are \
                    several, they are listed.
                    """
            ),
            Option(
                "api-token-file",
                \.tokenFile,
                .optionalPath,
                unset: "none",
                help: "the file with the API's token",
                reason:
                    "The host end has the same option; only its addresses on TCP need the token."
            ),
            Option(
                "hold",
                \.holds,
                .boolean,
                reach: .commandLine,
                help: "expose: remove the forward when this program ends",
                reason: """
                    The program prints the address where the forward listens, and stays. The forward \
                    ends with it, also if it is killed, and it ends with the forward.
                    """
            ),
            Option(
                "always",
                \.isAlways,
                .boolean,
                reach: .commandLine,
                help: "policy allow and deny: answer the same way from now on",
                reason: """
                    The answer becomes a rule of the running network. Without it, the answer holds for \
                    ten minutes.
                    """
            ),
            Option(
                "failed",
                \.showsFailures,
                .boolean,
                reach: .commandLine,
                help: "flows: list what did not reach its destination, and why",
                reason: """
                    The list has the last 50 failures, and the connections that have waited for an \
                    answer for more than three seconds.
                    """
            ),
            Option(
                "watch",
                \.watches,
                .boolean,
                reach: .commandLine,
                help: "flows: print each that begins, fails or ends from now on",
                reason: """
                    ctl top shows those that exist, and how much they carry; with --json, each line \
                    is an event as ctl events prints it.
                    """
            ),
            Option(
                "json",
                \.printsJSON,
                .boolean,
                reach: .commandLine,
                help: "print the API's JSON document, for programs",
                reason: """
                    The document is printed unchanged. Commands that change something print \
                    none.
                    """
            ),
            Option(
                "protocol",
                \.transport,
                .optional(.transport),
                reach: .commandLine,
                unset: "unix where LOCAL is a path, else tcp",
                help: "the protocol for expose and unexpose: tcp, udp or unix",
                reason: """
                    With unix, LOCAL is the path of a socket on the host, and REMOTE is \
                    tcp://ADDRESS:PORT.
                    """
            ),
        ]
        + Option.capture + Option.common
}

extension ValueSyntax where Value == ForwardProtocol {
    /// A forward's transport.
    fileprivate static let transport = word("PROTOCOL", expected: "tcp, udp or unix")
}

extension Role {
    /// Queries and changes a running network.
    static let ctl = Role(
        name: "ctl",
        summary: "queries and changes a running network",
        operands: "COMMAND",
        options: Option.ctl,
        commands: ControlCommand.all,
        hasMixedArguments: true
    ) { start throws(RoleFailure) in try CtlSession(start).run() }
}
