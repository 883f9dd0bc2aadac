/// A transport address as people write it: an IPv6 address may have a zone (RFC 4007, section 11).
///
/// The zone, `eth0` or `2` in `[fe80::1%eth0]:53`, is the interface on whose link the address is
/// meant. It stays text here because an interface can come, go and get another number while the
/// program runs.
struct ZonedEndpoint: Hashable, Sendable, CustomStringConvertible {
    var endpoint: Endpoint
    /// Empty for none.
    var zone = ""

    init(_ endpoint: Endpoint) {
        self.endpoint = endpoint
    }

    var description: String {
        zone.isEmpty
            ? endpoint.description : "[\(endpoint.address)%\(zone)]:\(endpoint.port)"
    }
}
