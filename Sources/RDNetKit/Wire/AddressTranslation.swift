/// A pair of addresses: one that guests use for one of the host's.
struct AddressTranslation: Hashable, Sendable {
    /// The address that guests use.
    let seen: IPAddress
    /// The address on the host.
    let host: IPAddress
}
