internal import CLinux
internal import Glibc

/// Sockets that wait for clients on the host.
enum ListeningSocket {
    /// How long a silent TCP client may stay away before the kernel asks whether it lives, in
    /// seconds.
    private static let keepAliveIdle: Int32 = 60

    /// A TCP socket that listens; the unspecified address of either family takes clients of both.
    ///
    /// What is set here the kernel hands on to every accepted socket: no delay, keep-alive,
    /// urgent octets in line.
    ///
    /// - Parameter endpoint: Port 0 lets the kernel choose.
    /// - Returns: The listening socket.
    /// - Throws: `SystemError` of the call that failed.
    static func tcp(_ endpoint: Endpoint) throws(SystemError) -> OwnedDescriptor {
        let socket = try bound(endpoint, SOCK_STREAM) { socket throws(SystemError) in
            try Socket.set(socket, SOL_SOCKET, SO_REUSEADDR, to: 1)
            try Socket.set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, to: 1)
            try Socket.set(socket, SOL_SOCKET, SO_KEEPALIVE, to: 1)
            try Socket.set(socket, Int32(IPPROTO_TCP), TCP_KEEPIDLE, to: keepAliveIdle)
            try Socket.keepUrgentInLine(socket)
        }
        try Socket.listen(socket)
        return socket
    }

    /// A UDP socket; the unspecified address of either family takes datagrams of both.
    ///
    /// At that address `Socket.receiveAddressed` says which of the machine's a datagram was sent
    /// to.
    ///
    /// - Parameter endpoint: Port 0 lets the kernel choose.
    /// - Returns: The bound socket.
    /// - Throws: `SystemError` of the call that failed.
    static func udp(_ endpoint: Endpoint) throws(SystemError) -> OwnedDescriptor {
        try bound(endpoint, SOCK_DGRAM) { socket throws(SystemError) in
            if endpoint.address.isUnspecified { Socket.tellLocalAddresses(socket) }
        }
    }

    /// A unix socket that listens, for this user alone (mode 0600); one of datagrams is bound only.
    ///
    /// A stale socket is replaced; anything else at the path is an error.
    ///
    /// - Parameters:
    ///   - path: At most 107 octets, none of them NUL.
    ///   - kind: Streams, packets or datagrams.
    /// - Returns: The listening socket.
    /// - Throws: `SystemError` of the call that failed.
    static func unix(
        path: String,
        _ kind: SocketKind = .stream
    ) throws(SystemError) -> OwnedDescriptor {
        guard let address = SocketAddress(path: path), !path.utf8.contains(0) else {
            throw SystemError(call: "bind \(path)", errno: EINVAL)
        }
        return try StaleSocket.replace(at: path) { () throws(SystemError) in
            let socket = try Socket.make(AF_UNIX, kind)
            // The file is born with the socket's own mode: changing it afterwards would leave a
            // gap, and umask(2) is the whole process's.
            let number = socket.number
            try systemCall("fchmod") { fchmod(number, 0o600) }
            try Socket.bind(socket, to: address, named: path)
            if kind != .datagram { try Socket.listen(socket) }
            return socket
        }
    }

    private static func bound(
        _ endpoint: Endpoint,
        _ kind: __socket_type,
        _ configure: (borrowing OwnedDescriptor) throws(SystemError) -> Void
    ) throws(SystemError) -> OwnedDescriptor {
        guard endpoint.address.isUnspecified else {
            return try bound(endpoint, Socket.family(of: endpoint.address), kind, configure)
        }
        do {
            let both = Endpoint(address: .anyIPv6, port: endpoint.port)
            return try bound(both, AF_INET6, kind, configure)
        } catch {
            // A machine without IPv6 has no such sockets, or no such address.
            guard error.errno == EAFNOSUPPORT || error.errno == EADDRNOTAVAIL else { throw error }
            let ipv4 = Endpoint(address: .anyIPv4, port: endpoint.port)
            return try bound(ipv4, AF_INET, kind, configure)
        }
    }

    private static func bound(
        _ endpoint: Endpoint,
        _ family: Int32,
        _ kind: __socket_type,
        _ configure: (borrowing OwnedDescriptor) throws(SystemError) -> Void
    ) throws(SystemError) -> OwnedDescriptor {
        let socket = try Socket.make(family, kind)
        if family == AF_INET6, endpoint.address.isUnspecified {
            try Socket.set(socket, Int32(IPPROTO_IPV6), IPV6_V6ONLY, to: 0)
        }
        try configure(socket)
        try Socket.bind(socket, to: SocketAddress(endpoint), named: endpoint.description)
        return socket
    }
}

extension SystemError {
    /// Whether a waiting connection went away before it was accepted, which concerns no other.
    ///
    /// See accept(2).
    var concernsOneConnection: Bool {
        [ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH].contains(
            errno
        )
    }

    /// Whether somebody else has the address, or a file the name.
    ///
    /// See bind(2), EADDRINUSE.
    var isAddressInUse: Bool { errno == EADDRINUSE }

    /// The error's sentence as Go words it, which is the C library's in lower case.
    var reason: String {
        let message = Self.message(errno)
        return message.prefix(1).lowercased() + message.dropFirst()
    }
}
