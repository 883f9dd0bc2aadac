extension LeasePool {
    enum Standing {
        case offered
        case bound
        case declined
    }

    /// An assignment of an address's number to a machine in IPv6.
    struct IPv6Hold {
        var hardwareAddress: MACAddress
        var standing: Standing
        var expires: Instant
    }

    /// A machine's lease in IPv6, which may have lapsed.
    struct IPv6Record: Equatable {
        var number: IPAddress
        var mac: MACAddress
        /// When the lease ends or ended.
        var expires: Instant
    }

    /// What is known about one address and, in `hold`, about its number in IPv6.
    struct Entry {
        /// The last client in IPv4; for an entry that IPv6 made, its machine.
        var holder: Holder
        var standing: Standing
        var expires: Instant
        /// The link that the holder was last heard on; nil if it is unknown.
        var link: Int?
        /// The latest assignment in IPv6; nil if there was none.
        var hold: IPv6Hold?

        /// When nobody has the number any longer, in neither family.
        var end: Instant { max(expires, hold?.expires ?? expires) }

        /// The machine that has the number in IPv6, or found another machine there.
        func ipv6Holder(now: Instant) -> MACAddress? {
            hold.flatMap { $0.expires > now ? $0.hardwareAddress : nil }
        }

        /// Whether nobody has confirmed it yet, in neither family.
        var isOffer: Bool {
            standing == .offered && (hold.map { $0.standing == .offered } ?? true)
        }
    }
}
