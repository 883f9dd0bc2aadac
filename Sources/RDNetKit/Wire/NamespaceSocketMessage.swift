/// What `up` and `pasta` ask of their child in the namespace: a socket that is connected to one of
/// the namespace's own addresses.
///
///     request: transport 1 (0 TCP, 1 UDP), zero 1, port 2, address 16 (IPv4 as ::ffff:0:0/96)
///     reply:   errno 4; with 0 comes the socket
///
/// Both in network order, one packet each, replies in the order of the requests.
struct NamespaceSocketRequest: Equatable {
    static let length = 20

    var isDatagram: Bool
    var target: Endpoint

    init(isDatagram: Bool, target: Endpoint) {
        self.isDatagram = isDatagram
        self.target = target
    }

    /// Reads a request; nil for anything else.
    init?(reading octets: RawSpan) {
        guard octets.byteCount == Self.length else { return nil }
        let kind: UInt16 = octets.bigEndian(at: 0)
        guard kind == 0 || kind == 0x100 else { return nil }
        isDatagram = kind != 0
        target = Endpoint(
            address: IPAddress(reading: octets, at: 4),
            port: octets.bigEndian(at: 2)
        )
    }

    var octets: [UInt8] {
        [isDatagram ? 1 : 0, 0, UInt8(target.port >> 8), UInt8(truncatingIfNeeded: target.port)]
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
