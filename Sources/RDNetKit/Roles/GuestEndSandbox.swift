/// What a guest end needs after its start: it creates its interface again, configures it, and
/// connects to the host again.
extension Sandbox {
    /// What `--sandbox probe` finds possible in a guest end, because DHCP takes packet sockets.
    static let neededByGuestEnd: Set<String> = [BreakOut.openPacketSocket]

    init(_ settings: VMSwitchSettings, log: Logger) {
        self.init(settings.sandbox, log: log)
        // The DHCP client binds port 68, so that it is the only one.
        capabilities = [.netAdmin, .netRaw, .netBindService]
        makesInterfaces = true
        rules.insert(.device("/dev/net/tun"))
        write(in: settings.common.logFile)
        switch settings.link {
        case .stream(.unix(let path), _), .connect(.unix(let path), _):
            connect(to: path)
            // The socket may belong to the user who runs the host's end.
            grants.capabilities = [.dacOverride]
        case .program: programs = "--url runs a program for each connection"
        case .none, .stream, .connect, .packets, .datagrams, .vhost, .descriptor, .standardStreams:
            break
        }
    }
}

extension LeaseBroker {
    /// Starts the child for the settings of a guest end.
    ///
    /// - Parameters:
    ///   - settings: The guest end's.
    ///   - process: A process in the mount namespace of the guest's programs, or nil.
    ///   - log: The role's logger.
    /// - Returns: Nil if leases change the interface only.
    /// - Throws: `SystemError`.
    static func start(
        _ settings: VMSwitchSettings,
        namespaceProcess process: Int32?,
        log: Logger
    ) throws(SystemError) -> LeaseBroker? {
        let work: Work
        if let place = settings.resolverPlace(process) {
            work = .resolverFile(place)
        } else if !settings.dhcpScript.isEmpty {
            if let reason = ResolverFile.objectionToScript {
                log.info(
                    "the script may write the machine's resolver file",
                    ["path": ResolverFile.path, "reason": reason]
                )
            }
            work = .script(path: settings.dhcpScript, environment: scriptEnvironment)
        } else {
            return nil
        }
        return try LeaseBroker(
            work,
            interface: settings.tapInterface,
            isRestricted: settings.sandbox.mode != .off,
            logFile: settings.common.logFile,
            log: log
        )
    }

    private static var scriptEnvironment: [String] {
        ProcessEnvironment.all.filter { variable in
            ![LinkSupply.variable, ResolverFile.processVariable].contains {
                variable.hasPrefix($0 + "=")
            }
        }
    }
}
