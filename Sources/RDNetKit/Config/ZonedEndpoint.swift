/// A transport address as people write it: an IPv6 address may have a zone (RFC 4007, section 11).
///
/// The zone, `eth0` or `2` in `[fe80::1%eth0]:53`, is the interface on whose link the address is meant. It
/// stays text here because an interface can come, go and get another number while the program runs.
struct ZonedEndpoint: Hashable, Sendable, CustomStringConvertible {
    var endpoint: Endpoint
    /// Empty for none.
    var zone = ""

    init(_ endpoint: Endpoint) {
        self.endpoint = endpoint
    }

    /// Parses `192.0.2.1`, `2001:db8::1` and `fe80::1%eth0`.
    init?(address text: some StringProtocol, port: UInt16) {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { return nil }
        endpoint = Endpoint(address: address, port: port)
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

    var description: String {
        zone.isEmpty
            ? endpoint.description : "[\(endpoint.address)%\(zone)]:\(endpoint.port)"
    }
}
