extension GatewayPlan {
    /// Creates the plan of a network from its settings.
    init(_ settings: NetworkSettings) {
        self.init(
            subnet: settings.subnet,
            gatewayMAC: settings.gatewayMAC,
            mtu: settings.mtu,
            allowsLinkLocal: settings.allowsLinkLocal
        )
        blocksHostLoopback = settings.blocksHostLoopback
        isolatesGuests = settings.isolatesGuests
        limits = settings.limits
        gateway = settings.gateway
        hostAlias = settings.hostAlias
        forwardSource = settings.forwardsFromHostAlias ? hostAlias : gateway
        silenced = settings.silencedTransports
        if let mirror = settings.mirror {
            self.mirror = mirror
            translations = settings.translations
            virtualAddresses = settings.virtualAddresses
            ipv6 = mirror.ipv6.map { IPv6Plan($0) }
            return
        }
        let usual = AddressTranslation(seen: hostAlias, host: .loopbackIPv4)
        translations = settings.translations.isEmpty ? [usual] : settings.translations
        let alias = [hostAlias]
        virtualAddresses = settings.virtualAddresses.isEmpty ? alias : settings.virtualAddresses
        ipv6 = settings.prefix.flatMap { IPv6Plan($0, beside: self) }
    }
}

extension NetworkSettings {
    /// The settings as far as this machine's kernel supports them; the log names what it lacks.
    func supported(_ log: Logger) -> NetworkSettings {
        guard ipv6 == .auto, !Socket.hasIPv6 else { return self }
        log.info("IPv4 only, because this kernel has no IPv6")
        var settings = self
        settings.ipv6 = .off
        return settings
    }
}
