/// What a role needs after its start, and the step that gives up everything else.
///
/// Each role writes down its needs next to its code. `prepare` starts the broker before anything is
/// read from a guest, `enter` follows when everything is open. The order matters: Landlock and
/// seccomp need "no new privileges", changing the user needs capabilities, and nothing else works
/// after the filter.
struct Sandbox {
    private static let offHint = "--sandbox off"

    private let settings: SandboxSettings
    private let log: Logger

    /// Capabilities to keep if the process has them.
    var capabilities: Set<Capability> = [.netBindService]
    /// Whether the role creates unix sockets itself, which can connect to any path.
    var makesUnixSockets = false
    /// Whether the role passes signals on to a child.
    var maySignal = false
    /// Whether the role creates TAPs and serves them by DHCP over packet sockets.
    var makesInterfaces = false
    /// Why programs must be run, so that system calls and files stay unrestricted; nil if none are.
    var programs: String?
    /// Files to write to, and folders in which to create and remove files.
    var rules: Set<Landlock.Rule> = [.file("/dev/null")]
    /// What the broker reaches for the role.
    var grants = FileBroker.Grants()

    init(_ settings: SandboxSettings, log: Logger) {
        self.settings = settings
        self.log = log
        grants.folders = settings.socketFolders
    }

    /// Folders in which the API may create sockets.
    var socketFolders: [String] { settings.socketFolders }

    /// Whether the role only tries to break out.
    var isProbe: Bool { settings.mode == .probe }

    /// Whether `enter` restricts system calls and files.
    var isStrict: Bool { settings.mode != .off && programs == nil }

    /// The user to become; nil for no change.
    ///
    /// - Throws: `RoleFailure` for an unknown one.
    var user: AccountFile.User? {
        get throws(RoleFailure) {
            do {
                return try settings.user.isEmpty ? nil : AccountFile.user(settings.user)
            } catch {
                throw RoleFailure("sandbox: \(error)")
            }
        }
    }

    /// Adds the folder in which a file is created, replaced or removed.
    mutating func write(in path: String) {
        guard !path.isEmpty else { return }
        rules.insert(.folder(of: path))
    }

    /// Starts the broker for files and sockets that the role will need again.
    ///
    /// - Returns: Nil if the role needs none.
    /// - Throws: `RoleFailure`.
    func prepare() throws(RoleFailure) -> FileBroker? {
        guard isStrict, !grants.isEmpty else { return nil }
        do {
            return try FileBroker(grants, log: log)
        } catch {
            throw RoleFailure("sandbox: \(error); \(Self.offHint) starts without it")
        }
    }

    /// Gives up everything that the role does not need, for good.
    ///
    /// - Parameters:
    ///   - broker: From `prepare`.
    ///   - loop: Reports refused system calls.
    /// - Returns: Keeps the reports alive; nil with `--sandbox off`.
    /// - Throws: `RoleFailure`.
    func enter(with broker: FileBroker?, loop: EventLoop) throws(RoleFailure) -> RefusedCalls? {
        let user = try user
        do throws(SystemError) {
            guard settings.mode != .off else {
                if let user { try Privileges.become(user) }
                log.warning("the sandbox is off: a fault gives an attacker all rights of this user")
                return nil
            }
            let refused = try RefusedCalls(warning: log, loop: loop)
            try Privileges.refuseNew()
            var landlock = Landlock(rules: rules)
            landlock.rules.formUnion(settings.socketFolders.map { .folder($0) })
            landlock.maySignal = maySignal
            let hasLandlock = isStrict ? try landlock.enforce() : false
            if let user {
                // Dropping from the bounding set needs a capability that the new user lacks.
                try Privileges.reduce(to: [.setGID, .setUID], bounding: [])
                try Privileges.become(user)
                try Privileges.reduce(to: [])
            } else {
                try Privileges.reduce(to: capabilities)
            }
            try Privileges.hideMemory()
            FileBroker.current = broker
            try broker?.watchEnd(on: loop)
            let filter = SandboxCalls.service(
                ProcessEnvironment.process,
                unixSockets: makesUnixSockets,
                maySignal: maySignal,
                makesInterfaces: makesInterfaces
            )
            let hasFilter = isStrict ? try filter.enforceIfSupported() : false
            report(hasLandlock, hasFilter)
            return refused
        } catch {
            throw RoleFailure("sandbox: \(error); \(Self.offHint) starts without it")
        }
    }

    private func report(_ hasLandlock: Bool, _ hasFilter: Bool) {
        if let programs {
            log.info("the sandbox restricts capabilities only", ["because": programs])
        } else if !hasLandlock || !hasFilter {
            let missing = [hasLandlock ? nil : "Landlock", hasFilter ? nil : "seccomp filters"]
            log.warning(
                "the kernel lacks parts of the sandbox",
                ["missing": missing.compactMap(\.self).joined(separator: ", ")]
            )
        }
    }
}
