/// The addresses of `gvproxy`'s virtual network.
extension GVProxyConfiguration {
    /// The network's settings from command line and file.
    static func network(
        _ settings: GVProxySettings,
        _ file: GVProxyFile,
        hasFile: Bool
    ) throws(Fault) -> NetworkSettings {
        var network = NetworkSettings()
        network.subnet = try subnet(file.subnet.isEmpty ? settings.subnet : file.subnet)
        try setAddresses(&network, settings, file)
        let mtu = settings.mtu != 0 ? settings.mtu : file.mtu != 0 ? file.mtu : 1_500
        // A larger MTU does not fit an IP packet; a guest that used one would lose its packets.
        guard (576...65_520).contains(mtu) else {
            throw Fault("mtu is out of range: expected 576 to 65520, found \(mtu)")
        }
        network.mtu = mtu
        if !file.gatewayMAC.isEmpty { network.gatewayMAC = try mac(file.gatewayMAC) }
        network.captureFile = hasFile ? file.captureFile : settings.pcap
        network.allowsLinkLocal = settings.allowsMetadata || file.allowsMetadata
        network.usesMulticastDNS = settings.usesMulticastDNS
        network.isolation = settings.isolation
        network.limits = settings.limits
        network.policy = settings.policy
        network.ipv6 = settings.ipv6
        network.prefixChoice = settings.prefixChoice
        network.stateDirectory =
            settings.stateDirectory.isEmpty ? file.stateDirectory : settings.stateDirectory
        network.access = settings.access
        network.translations = try translations(file, network)
        network.virtualAddresses =
            try file.virtualAddresses.isEmpty
            ? [network.hostAlias] : addresses(file.virtualAddresses)
        network.hasUsualGuest = !hasFile
        if hasFile { try setFromFileAlone(&network, file) }
        for lease in file.staticLeases {
            network.staticLeases.append(
                StaticLease(mac: try mac(lease.value), address: try address(lease.key))
            )
        }
        if let conflict = network.conflict {
            throw Fault(
                "failed to validate configuration: \(conflict.option) \(conflict.value): "
                    + "expected \(conflict.expected)"
            )
        }
        return network
    }

    /// Sets the values that have a default only without a file.
    private static func setFromFileAlone(
        _ network: inout NetworkSettings,
        _ file: GVProxyFile
    ) throws(Fault) {
        network.dnsSearch = file.searchDomains
        network.searchesHostDomains = false
        network.machines = [:]
        for machine in file.vpnkitMACs {
            network.machines[machine.key.lowercased()] = try mac(machine.value)
        }
    }

    private static func subnet(_ text: String) throws(Fault) -> Subnet {
        let parsing = "failed to parse subnet: netip.ParsePrefix(\"\(text)\"): "
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw Fault(parsing + "no '/'") }
        guard let address = IPAddress(parts[0]) else {
            throw Fault(parsing + "ParseAddr(\"\(parts[0])\"): unable to parse IP")
        }
        guard let length = parts[1].decimal(upTo: 999) else {
            throw Fault(parsing + "bad bits after slash: \"\(parts[1])\"")
        }
        guard address.isIPv4 else { throw Fault(parsing + "expected an IPv4 network") }
        guard length <= 32 else { throw Fault(parsing + "prefix length out of range") }
        let prefixLength = Int(length)
        guard prefixLength <= 29 else {
            throw Fault(
                "failed to identify usable gateway IP address in subnet: subnet too small"
            )
        }
        guard let subnet = Subnet(address: address, prefixLength: prefixLength) else {
            throw Fault(parsing + "expected a prefix of 8 to 29 bits")
        }
        return subnet
    }

    private static func setAddresses(
        _ network: inout NetworkSettings,
        _ settings: GVProxySettings,
        _ file: GVProxyFile
    ) throws(Fault) {
        let subnet = network.subnet
        let wanted = [
            (file.gateway.isEmpty ? settings.gateway : file.gateway, subnet.host(1)),
            (file.device.isEmpty ? settings.device : file.device, subnet.host(2)),
            (file.host.isEmpty ? settings.host : file.host, subnet.host(-2)),
        ]
        var found: [IPAddress] = []
        for (text, usual) in wanted {
            let address = text.isEmpty ? usual : try address(text)
            try check(address, in: subnet)
            found.append(address)
        }
        guard Set(found).count == found.count else {
            throw Fault("failed to validate configuration IPs: IP addresses need to be distinct")
        }
        network.gatewayAddress = found[0]
        network.guestAddress = found[1]
        network.hostAddress = found[2]
    }

    private static func check(_ address: IPAddress, in subnet: Subnet) throws(Fault) {
        let failed = "failed to validate configuration IPs: IP"
        guard subnet.contains(address) else {
            throw Fault("\(failed) (\(address)) not in subnet (\(subnet))")
        }
        guard address != subnet.network else {
            throw Fault("\(failed) must not be address of subnet: \(address)")
        }
        guard address != subnet.broadcast else {
            throw Fault("\(failed) must not be broadcast address: \(address)")
        }
    }

    private static func translations(
        _ file: GVProxyFile,
        _ network: NetworkSettings
    ) throws(Fault) -> [AddressTranslation] {
        guard !file.translations.isEmpty else {
            return [AddressTranslation(seen: network.hostAlias, host: .loopbackIPv4)]
        }
        var translations: [AddressTranslation] = []
        for pair in file.translations {
            translations.append(
                AddressTranslation(seen: try address(pair.key), host: try address(pair.value))
            )
        }
        return translations
    }

    private static func addresses(_ texts: [String]) throws(Fault) -> [IPAddress] {
        var addresses: [IPAddress] = []
        for text in texts { addresses.append(try address(text)) }
        return addresses
    }

    private static func address(_ text: String) throws(Fault) -> IPAddress {
        guard let address = IPAddress(text), address.isIPv4 else {
            throw Fault("failed to validate configuration IPs: invalid IP address: \(text)")
        }
        return address
    }

    private static func mac(_ text: String) throws(Fault) -> MACAddress {
        guard let mac = MACAddress(text), !mac.isGroup else {
            throw Fault("cannot create tap endpoint: address \(text): invalid MAC address")
        }
        return mac
    }
}
