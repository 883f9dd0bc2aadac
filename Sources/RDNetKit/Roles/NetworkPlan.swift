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
        gateway = settings.gateway
        hostAlias = settings.hostAlias
        forwardSource = settings.forwardsFromHostAlias ? hostAlias : gateway
        silenced = settings.silencedTransports
        if let mirror = settings.mirror {
            self.mirror = mirror
            translations = settings.translations
            virtualAddresses = settings.virtualAddresses
            return
        }
        let usual = AddressTranslation(seen: hostAlias, host: .loopbackIPv4)
        translations = settings.translations.isEmpty ? [usual] : settings.translations
        let alias = [hostAlias]
        virtualAddresses = settings.virtualAddresses.isEmpty ? alias : settings.virtualAddresses
        ipv6 = settings.prefix.flatMap { IPv6Plan($0, beside: self) }
    }
}
