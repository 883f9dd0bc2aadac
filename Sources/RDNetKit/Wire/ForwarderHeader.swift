/// What a host sends first on a connection to VPNKit's forwarder; one of three protocols follows.
enum ForwarderGreeting: Equatable {
    /// A connection for one destination starts with the destination (2016 to 2018).
    case destination
    /// The multiplexer without a handshake (2018 to 2019).
    case multiplexer
    /// The multiplexer with a handshake (since 2019).
    case handshake

    /// The number of bytes that distinguish the protocols.
    static let length = 3

    /// Recognizes a protocol; nil if the bytes belong to none of them.
    ///
    /// The first frame of a multiplexer opens a channel, so its third byte is 1. A destination
    /// starts with a protocol of 1 or 2 and an address length of 4 or 16, whose second byte is 0.
    ///
    /// - Parameter octets: The first bytes of a connection.
    init?(_ octets: RawSpan) {
        guard octets.byteCount >= Self.length else { return nil }
        let first = octets.array(0..<Self.length)
        if first == Array(MultiplexHandshake.magic.prefix(Self.length)) {
            self = .handshake
        } else if first[2] == 1 {
            self = .multiplexer
        } else if [1, 2].contains(first[0]), [4, 16].contains(first[1]), first[2] == 0 {
            self = .destination
        } else {
            return nil
        }
    }
}

/// The multiplexer's handshake: both sides send it at once.
enum MultiplexHandshake {
    /// The bytes before the length of a payload.
    static let magic = Array("https://github.com/moby/vpnkit multiplexer protocol\n".utf8)

    /// The whole handshake, with an empty payload.
    static let octets = magic + [0, 0]
}
