/// The settings of `network-setup`.
struct NetworkSetupSettings: RoleSettings {
    var common = CommonSettings()
    var handshake = HandshakeSettings()
    // The settings of `vm-switch`.
    var vmSwitchPath = ""
    /// Empty for the default of `vm-switch`.
    var vmSwitchLogFile = ""
    var appendsToVMSwitchLogFile = false
    var tapInterface = "eth0"
    /// Nil to keep the kernel's.
    var tapMACAddress: MACAddress? = .standardGuest
    var subnet = Subnet.standard
    /// Empty for none.
    var dhcpScript = ""
    var resolvConf = ResolverFileChoice.automatic
    var tracesPackets = false
    // The namespace.
    /// The program of init; empty under systemd.
    var initProgram = ""
    var namespaceService = "network-namespace.service"
    var pidFile = "/run/wsl-init.pid"
    // The veth pair: nil for the profile's.
    var outerVeth: String?
    var outerVethAddress: Subnet?
    var innerVeth: String?
    var innerVethAddress: Subnet?
    // The host: nil for vsock.
    var handshakeLink: LinkAddress?
    var dataLink: LinkAddress?
    var sandbox = SandboxSettings()

    init() {
        common.logFile = "/var/log/network-setup.log"
    }

    var conflict: SettingsConflict? {
        guard veth.outer.name == veth.inner.name else { return nil }
        return SettingsConflict(
            option: "inner-veth",
            value: veth.inner.name,
            expected: "another name than that of the outer end"
        )
    }

    /// Both ends of the pair; the profile provides the defaults.
    var veth: VethPair {
        VethPair(
            outer: Self.end(outerVeth, outerVethAddress, handshake.profile.outerVeth),
            inner: Self.end(innerVeth, innerVethAddress, handshake.profile.innerVeth)
        )
    }

    private static func end(
        _ name: String?,
        _ address: Subnet?,
        _ profile: RancherProfile.VethEnd
    ) -> VethPair.End {
        VethPair.End(
            name: name ?? profile.name,
            address: InterfaceAddress(
                address: address?.address ?? profile.address,
                prefixLength: address?.prefixLength ?? RancherProfile.vethPrefixLength
            )
        )
    }

    /// The address to listen on for the host.
    var effectiveHandshakeLink: LinkAddress {
        handshakeLink ?? .vsock(cid: nil, port: handshake.handshakePort)
    }

    /// The address to connect to after the handshake.
    var effectiveDataLink: LinkAddress {
        dataLink ?? .vsock(cid: Self.hostCID, port: handshake.dataPort)
    }

    /// The capabilities that `network-setup` and its `vm-switch` keep once init runs.
    ///
    /// Entering the namespace takes `sysAdmin`; finding and ending its processes `sysPtrace` and
    /// `kill`; the pid file `dacOverride`. `vm-switch` uses `netAdmin`, `netRaw` and
    /// `netBindService`, mounts its resolver file (`sysAdmin`, `sysChroot`), and gives up the rest
    /// itself (`setPCAP`).
    var keptCapabilities: Set<Capability> {
        let own: Set<Capability> = [
            .dacOverride, .kill, .setPCAP, .netBindService, .netAdmin, .netRaw, .sysChroot,
            .sysPtrace, .sysAdmin,
        ]
        // What scripts use to write files of others and to run programs as others.
        let script: Set<Capability> = [
            .chown, .dacReadSearch, .fowner, .setGID, .setUID, .linuxImmutable,
        ]
        return dhcpScript.isEmpty ? own : own.union(script)
    }

    /// VMADDR_CID_HOST (vsock(7)).
    private static let hostCID: UInt32 = 2

    /// The arguments of `vm-switch`, in the original's order.
    var vmSwitchArguments: [String] {
        var arguments = [
            "-tap-interface", tapInterface, "-subnet", "\(subnet)",
            "-tap-mac-address", tapMACAddress?.description ?? "",
        ]
        // A legacy `vm-switch` does not support the option; other profiles always pass it, even if
        // empty.
        if handshake.profile != .legacy || !dhcpScript.isEmpty {
            arguments += ["-dhcp-script", dhcpScript]
        }
        if !vmSwitchLogFile.isEmpty { arguments += ["-logfile", vmSwitchLogFile] }
        if common.isDebugging { arguments += ["-debug"] }
        if tracesPackets { arguments += ["-trace-packets"] }
        if appendsToVMSwitchLogFile { arguments += ["-logfile-append"] }
        // Passed only if it is set, because another implementation of `vm-switch` does not support
        // it.
        switch resolvConf {
        case .automatic: break
        case .none: arguments += ["-resolv-conf", ""]
        case .path(let path): arguments += ["-resolv-conf", path]
        }
        return arguments
    }
}

extension Role {
    /// Brings up the guest end inside the virtual machine.
    static let networkSetup = Role(
        name: "network-setup",
        summary: "runs in the VM: handshake, namespace, veth pair, vm-switch",
        operands: "",
        options: Option.networkSetup
    ) { start throws(RoleFailure) in try NetworkSetupSession(start).run() }
}
