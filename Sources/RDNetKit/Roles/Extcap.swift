/// The settings of `extcap`, with Wireshark's names.
///
/// They are a part of the settings of `ctl`, because the code that reads options exists once for
/// each type of settings.
struct ExtcapSettings {
    var listsInterfaces = false
    var listsLinkTypes = false
    var listsArguments = false
    var captures = false
    /// Empty for none.
    var interface = ""
    /// Where to write; empty for none.
    var pipe = ""
    /// Wireshark's version, which changes nothing.
    var version = ""
    /// Parsed by the role, because Wireshark also asks whether it is valid.
    var filter = ""
    var guest = ""
}

extension Option<CtlSettings> {
    /// The options that Wireshark uses.
    fileprivate static let extcap: [Option<CtlSettings>] =
        [
            Option(
                "extcap-interfaces",
                \.extcap.listsInterfaces,
                .boolean,
                reach: .commandLine,
                help: "list the networks of this user that run",
                reason: """
                    Those are the networks that offer a socket under the run-time \
                    directory, as for ctl.
                    """
            ),
            Option(
                "extcap-dlts",
                \.extcap.listsLinkTypes,
                .boolean,
                reach: .commandLine,
                help: "list the link types of a network: Ethernet",
                reason: "Wireshark asks for them before it captures."
            ),
            Option(
                "extcap-config",
                \.extcap.listsArguments,
                .boolean,
                reach: .commandLine,
                help: "list the options that Wireshark shows to people",
                reason: "There is one: the guest."
            ),
            Option(
                "capture",
                \.extcap.captures,
                .boolean,
                reach: .commandLine,
                help: "write frames as they pass to --fifo",
                reason: """
                    The format is pcapng, with the names of links and addresses, and with \
                    the reason for each dropped packet as its comment.
                    """
            ),
            Option(
                "extcap-interface",
                \.extcap.interface,
                .optionalText("NAME"),
                reach: .commandLine,
                unset: "none",
                help: "the network, by its name in the list",
                reason: "It is rdnet- and the name of the socket."
            ),
            Option(
                "fifo",
                \.extcap.pipe,
                .optionalPath,
                reach: .commandLine,
                unset: "none",
                help: "the pipe that Wireshark reads",
                reason: "The role ends with its reader."
            ),
            Option(
                "extcap-capture-filter",
                \.extcap.filter,
                .optionalText("CONDITIONS"),
                reach: .commandLine,
                unset: "every frame",
                help: "only frames that meet conditions, as with ctl capture --filter",
                reason: "Without --capture, the role says what is wrong with them, if anything."
            ),
            Option(
                "guest",
                \.extcap.guest,
                .optionalText("ADDRESS"),
                reach: .commandLine,
                unset: "every guest",
                help: "only frames from and to a guest, by IP or MAC address",
                reason: "A MAC address selects both families."
            ),
            Option(
                "extcap-version",
                \.extcap.version,
                .optionalText("VERSION"),
                reach: .commandLine,
                unset: "none",
                help: "the version of Wireshark, which is ignored",
                reason: "Wireshark says it whenever it lists networks."
            ),
        ]
        + Option.common
}

extension ValueSyntax where Value == String {
    fileprivate static func optionalText(_ placeholder: String) -> ValueSyntax {
        ValueSyntax(placeholder: placeholder, expected: "a text", parse: { $0 }, text: { $0 })
    }
}

/// One run of the program by Wireshark, which asks one question at a time.
private struct Extcap {
    /// The start of the names of interfaces, so that they differ from the host's.
    private static let prefix = "rdnet-"
    private static let suffix = ".sock"

    let start: RoleStart<CtlSettings>

    private var settings: ExtcapSettings { start.settings.extcap }

    func run() throws(RoleFailure) -> ExitCode {
        if settings.listsInterfaces {
            start.surroundings.printOutput(interfaces)
        } else if settings.listsLinkTypes {
            start.surroundings.printOutput("dlt {number=1}{name=EN10MB}{display=Ethernet}\n")
        } else if settings.listsArguments {
            start.surroundings.printOutput(Self.arguments)
        } else if settings.captures {
            try capture()
        } else {
            return checkFilter()
        }
        return .success
    }

    /// The sockets of this user's networks, by the names of interfaces.
    private var networks: [(name: String, path: String)] {
        let sockets = RuntimeDirectory(start.surroundings.environment)?.sockets ?? []
        return sockets.map { path in
            let file = path.split(separator: "/").last ?? ""
            let stem = file.hasSuffix(Self.suffix) ? file.dropLast(Self.suffix.count) : file
            return (Self.prefix + stem, path)
        }
    }

    private var interfaces: String {
        let head = "extcap {version=\(RoleRegistry.version)}{display=rdnet}\n"
        return head
            + networks.map { "interface {value=\($0.name)}{display=\($0.name) network}\n" }.joined()
    }

    private static let arguments = """
        arg {number=0}{call=--guest}{display=Guest}{type=string}\
        {tooltip=Only frames from and to a guest, by IP or MAC address}

        """

    /// Answers whether a filter is valid: nothing if it is, or what is wrong.
    private func checkFilter() -> ExitCode {
        do {
            _ = try CaptureFilter(settings.filter)
            return .success
        } catch {
            start.surroundings.printOutput("\(error)\n")
            return .failure
        }
    }

    private func capture() throws(RoleFailure) {
        guard let network = networks.first(where: { $0.name == settings.interface }) else {
            throw RoleFailure(
                "extcap-interface: \"\(settings.interface)\" is not valid; expected a network that "
                    + "runs: " + networks.map(\.name).joined(separator: ", "),
                status: .misuse
            )
        }
        var wish = CtlCaptureSettings()
        wish.filter = settings.filter
        wish.guest = settings.guest
        let client = APIClient(
            address: .unix(network.path),
            token: nil,
            log: start.logger,
            clock: EventLoop.monotonicClock
        )
        do {
            let pipe = try PipeOutput(settings.pipe)
            try CtlSession.streamCapture(wish, from: client, to: pipe.write)
        } catch let failure as APIFailure {
            throw RoleFailure(failure)
        } catch {
            throw RoleFailure("fifo: \(error)")
        }
    }
}

extension Role {
    /// Shows running networks to Wireshark as capture interfaces.
    static let extcap = Role(
        name: "extcap",
        aliases: [ExtcapInstallation.linkName],
        summary: "shows running networks to Wireshark as interfaces",
        operands: "",
        options: Option.extcap
    ) { start throws(RoleFailure) in try Extcap(start: start).run() }
}
