/// A frame with an address that its sender must not use.
struct AddressConflict: Equatable {
    enum Address: Equatable {
        /// Another link's MAC address.
        case mac(MACAddress)
        /// An IP address that another link uses, or that is leased to another guest.
        case ip(IPAddress)
        /// An IPv4 address outside the network.
        case foreign(IPAddress)
    }

    let address: Address
    /// The number of the sender's link.
    let link: Int
    /// The number of the link that has the address; nil for an address outside the network.
    let owner: Int?
}
