/// The settings of `network-setup`.
struct NetworkSetupSettings: RoleSettings {
    var common = CommonSettings()
    var handshake = HandshakeSettings()
    // What `vm-switch` is told.
    var vmSwitchPath = ""
    /// Empty for its own default.
    var vmSwitchLogFile = ""
    var appendsToVMSwitchLogFile = false
    var tapInterface = "eth0"
    /// Nil to leave the kernel's.
    var tapMACAddress: MACAddress? = .standardGuest
    var subnet = Subnet.standard
    /// Empty for none.
    var dhcpScript = ""
    var resolvConf = ResolverFileChoice.automatic
    var tracesPackets = false
    // The namespace.
    /// What becomes init in it; empty under systemd.
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

    /// Both ends of the pair, after the profile.
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

    /// Where the host is awaited.
    var effectiveHandshakeLink: LinkAddress {
        handshakeLink ?? .vsock(cid: nil, port: handshake.handshakePort)
    }

    /// What is dialled after the handshake.
    var effectiveDataLink: LinkAddress {
        dataLink ?? .vsock(cid: Self.hostCID, port: handshake.dataPort)
    }

    /// VMADDR_CID_HOST (vsock(7)).
    private static let hostCID: UInt32 = 2

    /// What `vm-switch` is started with, in the original's order.
    var vmSwitchArguments: [String] {
        var arguments = [
            "-tap-interface", tapInterface, "-subnet", "\(subnet)",
            "-tap-mac-address", tapMACAddress?.description ?? "",
        ]
        // The legacy one does not know the option; the others always get it, empty or not.
        if handshake.profile != .legacy || !dhcpScript.isEmpty {
            arguments += ["-dhcp-script", dhcpScript]
        }
        if !vmSwitchLogFile.isEmpty { arguments += ["-logfile", vmSwitchLogFile] }
        if common.isDebugging { arguments += ["-debug"] }
        if tracesPackets { arguments += ["-trace-packets"] }
        if appendsToVMSwitchLogFile { arguments += ["-logfile-append"] }
        // Another's vm-switch does not know the option, and need not as long as nobody uses it.
        switch resolvConf {
        case .automatic: break
        case .none: arguments += ["-resolv-conf", ""]
        case .path(let path): arguments += ["-resolv-conf", path]
        }
        return arguments
    }
}

extension Role {
    /// The one that brings the guest end up inside the virtual machine.
    static let networkSetup = Role(
        name: "network-setup",
        summary: "runs in the VM: handshake, namespace, veth pair, vm-switch",
        operands: "",
        options: Option.networkSetup
    ) { start throws(RoleFailure) in try NetworkSetupSession(start).run() }
}
