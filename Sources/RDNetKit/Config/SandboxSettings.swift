/// How far a role gives up its privileges once it has started.
struct SandboxSettings: Equatable, Sendable {
    enum Mode: String, CaseIterable, Sendable {
        case on
        case off
        /// Enter the sandbox, try to break out of it, report and exit.
        case probe
    }

    /// The option of control file systems for `socketFolders`.
    static let portFileFolder = "socket-folder"

    var mode = Mode.on
    /// A user's name or number, optionally with a group; empty for no change.
    var user = ""
    /// Folders in which the API, or clients of a control file system, may create unix sockets.
    var socketFolders: [String] = []
}

extension Option<SandboxSettings> {
    /// The options of the sandbox, for every role that serves a network or ports.
    static let sandbox = [
        sandboxMode,
        Option(
            "user",
            \.user,
            .anything("USER[:GROUP]"),
            unset: "no change",
            help: "the user to become once everything is open, by name or number",
            reason: """
                For a program that root starts. It keeps no capabilities then, so forwards of ports below \
                1024 must be named at the start. Files and folders that it opens later must belong to \
                that user, for example a log file for rotation.
                """
        ),
    ]

    /// The switch alone, for a role whose children have the caller's privileges.
    static let sandboxMode = Option(
        "sandbox",
        \.mode,
        .sandboxMode,
        help: "give up what the program no longer needs after its start: on, off or probe",
        reason: """
            See rdnet-security(7). With off, a fault in the program gives an attacker everything \
            that the program's user may do: use it for debugging only. With probe, the program \
            starts, tries what an attacker would, prints what was refused, and exits; the status \
            is 0 if everything was.
            """
    )

    /// The option for folders of sockets, where the API can create them.
    static let socketFolder = Option(
        "api-path",
        repeating: \.socketFolders,
        .path,
        unset: "none",
        help: "a folder in which the API may create unix sockets for forwards",
        reason: """
            Without it, and with --sandbox on, the API can forward TCP and UDP ports only, and sockets \
            named at the start. Forwards over SSH need --sandbox off, or gvproxy's --forward-sock.
            """
    )
}

extension ValueSyntax where Value == SandboxSettings.Mode {
    fileprivate static let sandboxMode = word("MODE", expected: "on, off or probe")
}
