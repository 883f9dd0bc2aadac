/// The child of `up`: in a new namespace, with an interface, an address, and a command to run.
///
/// How it works: the parent is the host end. The child enters new namespaces, creates the TAP,
/// passes its descriptor to the parent over a socket pair, and waits until the parent reports that
/// everything is ready. Then it requests an address by DHCP as any guest does, and runs the command
/// or prints the report. Meanwhile DHCP renews the lease. The child ends with its parent.
final class NamespaceGuest {
    /// The guest's configuration.
    struct Settings {
        var interface = "eth0"
        var mac: MACAddress
        var mtu: Int
        var hostAlias: IPAddress
        /// Whether the command runs as the caller in a user namespace, rather than as root.
        var keepsUser: Bool
        /// Whether this process gives up its privileges once the command runs.
        var isRestricted: Bool
        /// Whether the parent may ask for the processes behind connections.
        var findsProcesses: Bool
        /// The log's path; empty if it is no file.
        var logFile: String
        /// The command; if it is empty, the report is printed.
        var command: [String]
        var reportStyle: ConnectivityReport.Style
        var environment: [String]
        var searchPath: String?
        /// Relays queries on 127.0.0.1:53 to a server, for programs that find no resolver file.
        ///
        /// The returned object keeps the listeners alive.
        var relayNames: (EventLoop, IPAddress) throws(SystemError) -> AnyObject
    }

    /// Time limit for the first lease; the server is in the parent process.
    private static let leaseLimit: Duration = .seconds(5)

    private let settings: Settings
    private let log: Logger
    private let print: (String) -> Void
    private let printError: (String) -> Void
    private let loop: EventLoop
    private var signals: SignalWatch?
    private var socketMaker: NamespaceSocketMaker?
    private var interfaceMaker: NamespaceInterfaceMaker?
    private var targets: ConnectivityTargets?
    private let leaseBroker: LeaseBroker
    private var nameRelay: AnyObject?
    private var dhcp: GuestDHCP?
    private var child: ChildProcess?
    private var refused: RefusedCalls?
    private var outcome: Int32?

    private init(
        _ settings: Settings,
        _ leaseBroker: LeaseBroker,
        log: Logger,
        print: @escaping (String) -> Void,
        printError: @escaping (String) -> Void
    ) throws(SystemError) {
        self.settings = settings
        self.log = log
        self.print = print
        self.printError = printError
        loop = try EventLoop()
        self.leaseBroker = leaseBroker
        try leaseBroker.report(to: loop)
        let parent = ProcessEnvironment.parent
        signals = try SignalWatch(ProcessSignal.allCases, loop: loop) {
            [unowned self] signal, origin in
            receive(signal, isForCommand: origin == .process(parent))
        }
    }

    /// Forwards the parent's signals, and SIGTERM from any sender, to the command; a signal to the
    /// whole process group reaches the command directly.
    private func receive(_ signal: ProcessSignal, isForCommand: Bool) {
        if let child {
            if isForCommand || signal == .terminate { child.send(signal: signal.number) }
        } else if signal.asksToEnd {
            end(128 + signal.number)
        }
    }

    /// Does all of the child's work.
    ///
    /// - Parameters:
    ///   - settings: The guest's configuration.
    ///   - socket: Connected to the parent.
    ///   - sockets: Receives the parent's requests for sockets of the namespace.
    ///   - processes: Receives the parent's questions about its processes.
    ///   - log: For failures.
    ///   - print: Prints to standard output.
    ///   - printError: Prints to standard error.
    /// - Returns: The exit status: the command's, or whether all checks of the report succeeded.
    static func run(
        _ settings: Settings,
        parent socket: consuming OwnedDescriptor,
        sockets: consuming OwnedDescriptor,
        processes: consuming OwnedDescriptor,
        log: Logger,
        print: @escaping (String) -> Void,
        printError: @escaping (String) -> Void
    ) -> Int32 {
        do {
            // First, so that no signal that the parent forwards terminates this process.
            SignalWatch.block(ProcessSignal.allCases)
            try Namespace.enterFresh(keepsUser: settings.keepsUser)
            let leaseBroker = try LeaseBroker(
                .resolverFile(.mounted(process: nil)),
                interface: settings.interface,
                isRestricted: settings.isRestricted,
                logFile: settings.logFile,
                log: log
            )
            if settings.findsProcesses {
                let isRestricted = settings.isRestricted
                try ProcessFinderChild.start(for: processes, isRestricted: isRestricted, log)
            }
            let device = try makeInterface(settings)
            try DescriptorPassing.send(device.descriptor.number, over: socket)
            release(device)
            let guest = try NamespaceGuest(
                settings,
                leaseBroker,
                log: log,
                print: print,
                printError: printError
            )
            try guest.makeSockets(for: sockets)
            let parent = WaitingSocket(socket)
            let line = try parent.receive(
                upTo: ConnectivityTargets.maximumLength,
                within: .seconds(10)
            )
            guest.targets = ConnectivityTargets(
                String(decoding: line, as: UTF8.self).split(separator: "\n").first ?? ""
            )
            try guest.makeInterfaces(for: parent.descriptor)
            return try guest.serve()
        } catch {
            printError("rdnet up: no namespace with a network: \(error)\n")
            return 1
        }
    }

    private func makeSockets(for parent: consuming OwnedDescriptor) throws(SystemError) {
        socketMaker = try NamespaceSocketMaker(parent, loop: loop)
    }

    private static func makeInterface(
        _ settings: Settings
    ) throws(GuestInterfaceError) -> TAPDevice {
        try GuestInterface.make(
            named: settings.interface,
            mac: settings.mac,
            mtu: settings.mtu
        )
    }

    private func makeInterfaces(for parent: consuming OwnedDescriptor) throws(SystemError) {
        interfaceMaker = try NamespaceInterfaceMaker(
            parent,
            loop: loop,
            make: { [settings] in try Self.makeInterface(settings) },
            made: { [unowned self] result in interfaceMade(result) }
        )
    }

    /// Requests an address for an interface that replaces a deleted one.
    private func interfaceMade(_ result: Result<Void, any Error>) {
        dhcp?.abandon()
        dhcp = nil
        do {
            try result.get()
            try startDHCP()
        } catch {
            // The command runs, so this must not wait for a reader of standard error.
            log.error("the command has no network", ["cause": "\(error)"])
        }
    }

    /// Closes this copy of the descriptor: the parent has the interface now, and it disappears with
    /// the parent.
    private static func release(_ device: consuming TAPDevice) {}

    private func startDHCP() throws(SystemError) {
        var options = GuestDHCP.Settings()
        options.nameServers = leaseBroker.nameServers
        let client = try GuestDHCP(
            loop: loop,
            interface: settings.interface,
            mac: settings.mac,
            settings: options,
            log: log
        )
        dhcp = client
        client.onBound = { [unowned self] lease in begin(lease) }
        try client.start()
    }

    private func serve() throws(SystemError) -> Int32 {
        leaseBroker.nameIsMissing = { [unowned self] in relayNames() }
        try startDHCP()
        loop.after(Self.leaseLimit) { [unowned self] _ in
            guard child == nil, outcome == nil else { return }
            printError("rdnet up: no address by DHCP within \(Self.leaseLimit)\n")
            end(1)
        }
        while outcome == nil { try loop.turn() }
        return outcome ?? 1
    }

    /// Serves programs that find no resolver file and therefore query 127.0.0.1.
    private func relayNames() {
        guard nameRelay == nil, let server = dhcp?.lease?.nameServers.first else { return }
        do throws(SystemError) {
            nameRelay = try settings.relayNames(loop, server)
        } catch {
            log.warning("cannot serve DNS on 127.0.0.1", ["cause": "\(error)"])
        }
    }

    private func begin(_ lease: DHCPLease) {
        guard child == nil, outcome == nil else { return }
        guard settings.command.isEmpty, let targets else { return runCommand() }
        let report = ConnectivityReport(
            lease: lease,
            hostAlias: settings.hostAlias,
            targets: targets,
            style: settings.reportStyle,
            clock: EventLoop.monotonicClock,
            print: print
        )
        end(report.run() ? 0 : 1)
    }

    private func runCommand() {
        do {
            // By fork, so that the command ends with this process, as this process ends with its
            // parent.
            let process = try Namespace.fork { [settings, printError] in
                let failure = ProgramExecution.become(
                    settings.command,
                    environment: settings.environment,
                    searchPath: settings.searchPath
                )
                printError("rdnet up: \(failure)\n")
                return failure.status
            }
            child = try ChildProcess(adopting: process, on: loop) { [unowned self] how, _ in
                end(how.shellStatus)
            }
            // Only now: the command would inherit it.
            if settings.isRestricted { refused = try restrict() }
        } catch {
            printError("rdnet up: \(error)\n")
            end(126)
        }
    }

    /// Gives up everything but the network of the namespace.
    ///
    /// The memory is not hidden: only the command's user can look, and that would close the
    /// namespace to nsenter(1).
    private func restrict() throws(SystemError) -> RefusedCalls {
        let refused = try RefusedCalls(warning: log, of: "namespace", loop: loop)
        try Privileges.refuseNew()
        var landlock = Landlock(rules: [.file("/dev/null"), .device("/dev/net/tun")])
        // The command is outside of it.
        landlock.maySignal = true
        _ = try landlock.enforce()
        // Port 68 is DHCP's, port 53 that of the names on 127.0.0.1.
        try Privileges.reduce(to: [.netAdmin, .netRaw, .netBindService])
        try SandboxCalls.service(
            ProcessEnvironment.process,
            maySignal: true,
            makesInterfaces: true
        ).enforceIfSupported()
        return refused
    }

    private func end(_ status: Int32) {
        outcome = status
    }
}
