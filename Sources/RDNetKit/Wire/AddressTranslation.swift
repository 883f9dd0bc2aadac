/// An address that guests see in place of one that the host knows.
struct AddressTranslation: Hashable, Sendable {
    /// As guests write it.
    let seen: IPAddress
    /// As the host writes it.
    let host: IPAddress
}
