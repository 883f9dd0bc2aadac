/// Checks the prerequisites of `network-setup`, before the host connects, so that a missing one is
/// reported immediately.
struct NetworkSetupRequirements {
    private let settings: NetworkSetupSettings
    private let log: Logger
    private let environment: (String) -> String?

    init(_ start: RoleStart<NetworkSetupSettings>) {
        settings = start.settings
        log = start.logger
        environment = start.surroundings.environment
    }

    /// Checks everything, in the order of use.
    ///
    /// - Returns: The path of `systemctl` if systemd started this process; nil otherwise.
    /// - Throws: `RoleFailure` with the first missing prerequisite.
    func check() throws(RoleFailure) -> String? {
        guard !settings.vmSwitchPath.isEmpty else {
            throw RoleFailure("--vm-switch-path is not given; expected the path of vm-switch")
        }
        try require(settings.vmSwitchPath, of: "vm-switch-path")
        if !settings.dhcpScript.isEmpty { try require(settings.dhcpScript, of: "dhcp-script") }
        let systemctl = try checkNamespace()
        do throws(TAPError) {
            try TAPDevice.check()
        } catch {
            throw RoleFailure(error)
        }
        return systemctl
    }

    private func checkNamespace() throws(RoleFailure) -> String? {
        let program = settings.initProgram
        if let mark = environment("SYSTEMD_EXEC_PID"), !mark.isEmpty {
            if !program.isEmpty {
                log.warning("--unshare-arg is not used under systemd", ["value": program])
            }
            guard let systemctl = ProgramPath.find("systemctl", in: environment("PATH")) else {
                throw RoleFailure("systemctl is not in PATH, but systemd started this program")
            }
            return systemctl
        }
        guard !program.isEmpty else {
            throw RoleFailure("--unshare-arg is not given; expected the program that becomes init")
        }
        for path in [InnerNamespace.nsenter, InnerNamespace.unshare] {
            guard !ProgramPath.isExecutable(path) else { continue }
            throw RoleFailure("\(path) is missing; expected that of util-linux or busybox")
        }
        // Like `unshare`, searches PATH.
        if !program.contains("/"), ProgramPath.find(program, in: environment("PATH")) != nil {
            return nil
        }
        try require(program, of: "unshare-arg")
        return nil
    }

    private func require(_ path: String, of option: String) throws(RoleFailure) {
        guard ProgramPath.isExecutable(path) else { throw .notExecutable(path, option: option) }
    }
}
