extension Endpoint {
    /// Parses `192.168.127.2:80` and `[::1]:80`: a literal address and a port from 1 to 65535.
    init?(_ text: some StringProtocol) {
        guard let zoned = ZonedEndpoint(text), zoned.zone.isEmpty else { return nil }
        self = zoned.endpoint
    }
}

extension ZonedEndpoint {
    /// Parses `192.0.2.1`, `2001:db8::1` and `fe80::1%eth0`.
    init?(address text: some StringProtocol, port: UInt16) {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { return nil }
        self.init(Endpoint(address: address, port: port))
        guard parts.count == 2 else { return }
        let zone = String(parts[1])
        guard !address.isIPv4, ValueSyntax<String>.interfaceName.parse(zone) != nil else {
            return nil
        }
        self.zone = zone
    }

    /// Parses `192.0.2.1:53` and `[fe80::1%eth0]:53`, with a port from 1 to 65535.
    init?(_ text: some StringProtocol) {
        let text = String(text)
        guard let colon = text.lastIndex(of: ":"),
            let port = text[text.index(after: colon)...].decimal(upTo: 65_535), port > 0
        else { return nil }
        let host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        guard isBracketed == host.contains(":") else { return nil }
        self.init(
            address: isBracketed ? host.dropFirst().dropLast() : host,
            port: UInt16(truncatingIfNeeded: port)
        )
    }
}

extension StringProtocol {
    /// What follows a prefix; nil when it does not begin with it.
    func removingPrefix(_ prefix: String) -> String? {
        hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
    }
}
