/// What `up` and `pasta` ask of their child in the namespace: a socket that connects to one of the
/// namespace's own addresses, or one that waits for clients there.
///
///     request: kind 1, zero 1, port 2, address 16 (IPv4 as ::ffff:0:0/96)
///     reply:   errno 4; with 0 comes the socket
///
/// Both in network order, one packet each, replies in the order of the requests.
struct NamespaceSocketRequest: Equatable {
    static let length = 20

    /// The type of socket.
    enum Kind: UInt8, Sendable {
        /// TCP, connecting to the address.
        case stream
        /// UDP, for datagrams to the address.
        case datagram
        /// TCP, listening at the address.
        case listener
        /// UDP, bound to the address.
        case boundDatagram
    }

    var kind: Kind
    var target: Endpoint

    init(_ kind: Kind, _ target: Endpoint) {
        self.kind = kind
        self.target = target
    }

    /// Reads a request; nil for anything else.
    init?(reading octets: RawSpan) {
        guard octets.byteCount == Self.length, let kind = Kind(rawValue: octets.octet(at: 0)),
            octets.octet(at: 1) == 0
        else { return nil }
        self.kind = kind
        target = Endpoint(
            address: IPAddress(reading: octets, at: 4),
            port: octets.bigEndian(at: 2)
        )
    }

    var octets: [UInt8] {
        [kind.rawValue, 0, UInt8(target.port >> 8), UInt8(truncatingIfNeeded: target.port)]
            + target.address.ipv6Octets
    }
}

/// The answer to a request for a socket.
struct NamespaceSocketReply: Equatable {
    static let length = 4

    /// 0 where the socket comes with it.
    var errno: Int32

    init(errno: Int32) {
        self.errno = errno
    }

    /// Reads a reply; nil for anything else.
    init?(reading octets: RawSpan) {
        guard octets.byteCount == Self.length else { return nil }
        errno = Int32(bitPattern: octets.bigEndian(at: 0))
    }

    var octets: [UInt8] { errno.bigEndianOctets }
}
