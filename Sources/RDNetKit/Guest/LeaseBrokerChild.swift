/// The work of `LeaseBroker`'s child.
final class LeaseBrokerChild: ReadinessObserver {
    /// What the parent fixes when it starts the child.
    struct Settings {
        var work: LeaseBroker.Work
        var interface: String
        var isRestricted: Bool
        var logFile: String
    }

    private let settings: Settings
    private let socket: OwnedDescriptor
    private let log: Logger
    private let loop: EventLoop
    private var resolver: ResolverFile?
    private var script: DHCPScript?

    static func run(
        _ settings: Settings,
        _ socket: consuming OwnedDescriptor,
        _ log: Logger
    ) -> Int32 {
        do throws(SystemError) {
            let child = try LeaseBrokerChild(settings, socket, log)
            // First, because Landlock hides the namespaces of process 1.
            child.start()
            let refused = try settings.isRestricted ? child.restrict() : nil
            try withExtendedLifetime(refused) { () throws(SystemError) in try child.loop.run() }
            child.resolver?.restore()
            return 0
        } catch {
            log.error("the lease helper failed", ["cause": "\(error)"])
            return 1
        }
    }

    private init(
        _ settings: Settings,
        _ socket: consuming OwnedDescriptor,
        _ log: Logger
    ) throws(SystemError) {
        self.settings = settings
        self.socket = socket
        self.log = log
        loop = try EventLoop()
        _ = try loop.watch(self.socket.number, for: .readable, observer: self)
    }

    private func start() {
        switch settings.work {
        case .resolverFile(let place):
            let file = ResolverFile(place, loop: loop, log: log)
            file.nameIsMissing = { [unowned self] in report(.nameIsMissing) }
            resolver = file
        case .script(let path, let environment):
            script = DHCPScript(
                path: path,
                interface: settings.interface,
                environment: environment,
                loop: loop,
                log: log
            )
        }
    }

    private func report(_ report: LeaseBroker.Report) {
        do throws(SystemError) {
            _ = try Socket.send(socket, [report.rawValue])
        } catch {
            // The parent has ended, which ends the loop.
        }
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(SystemError) {
            let octets = try Socket.receive(socket, upTo: LeaseBroker.maximumPacket)
            guard let octets else { return }
            switch LeaseBroker.Request(reading: octets) {
            case .apply(let change): apply(change)
            case .reopenLog: log.follow()
            case nil: loop.stop()
            }
        } catch {
            loop.stop()
        }
    }

    private func apply(_ change: LeaseChange) {
        if let script {
            return script.apply(change) { [unowned self] in report(.applied) }
        }
        switch change {
        case .bound(let lease), .renewed(let lease): resolver?.update(lease)
        case .lost, .silence, .refused: break
        }
        report(.applied)
    }

    // MARK: Privileges

    /// Gives up everything that the work does not need.
    ///
    /// A script keeps the privileges that the program was started with.
    private func restrict() throws(SystemError) -> RefusedCalls? {
        guard case .resolverFile(let place) = settings.work else { return nil }
        let refused = try RefusedCalls(warning: log, of: "lease helper", loop: loop)
        try Privileges.refuseNew()
        var mounts = false
        switch place {
        case .chosen(let path): try restrict(toFile: path)
        case .standard where resolver?.isHome == true: try restrict(toFile: ResolverFile.path)
        case .standard:
            try keep([.dacOverride, .sysPtrace])
            try Privileges.hideMemory()
        case .mounted(let process):
            mounts = true
            try keep([.dacOverride, .sysAdmin, .sysChroot, .sysPtrace])
            // Its own children could not enter its mount namespace in a user namespace.
            if process != nil { try Privileges.hideMemory() }
        }
        let filter = SandboxCalls.resolverFile(ProcessEnvironment.process, mounts: mounts)
        try filter.enforceIfSupported()
        return refused
    }

    /// Reduces the capabilities to those that looking into other processes takes.
    ///
    /// Without CAP_SYS_PTRACE, a process sees the namespaces of processes with no more capabilities
    /// only, and has to keep its own.
    private func keep(_ capabilities: Set<Capability>) throws(SystemError) {
        if try Privileges.has(.sysPtrace) { try Privileges.reduce(to: capabilities) }
    }

    private func restrict(toFile path: String) throws(SystemError) {
        var rules: Set<Landlock.Rule> = [.file("/dev/null")]
        for name in [path, try resolved(path), settings.logFile] where !name.isEmpty {
            // The file itself may lose its path, for example with the mount that it is.
            rules.insert(.file(name))
            rules.insert(.folder(of: name))
        }
        _ = try Landlock(rules: rules).enforce()
        try Privileges.reduce(to: [.dacOverride])
        try Privileges.hideMemory()
    }

    /// The path without symbolic links; the path itself if it leads nowhere yet.
    private func resolved(_ path: String) throws(SystemError) -> String {
        do throws(SystemError) {
            return try FileLink.resolved(path)
        } catch {
            guard TextFile.isAbsence(error) else { throw error }
            return path
        }
    }
}
