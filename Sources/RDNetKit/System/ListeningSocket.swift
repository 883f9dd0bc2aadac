internal import CLinux
internal import Glibc

/// Sockets that wait for clients on the host.
enum ListeningSocket {
    /// How long a TCP client may be silent before the kernel probes it, in seconds.
    private static let keepAliveIdle: Int32 = 60

    /// Creates a listening TCP socket; the unspecified address of either family accepts clients of
    /// both.
    ///
    /// Every accepted socket inherits the options set here: no delay, keep-alive, urgent bytes in
    /// line.
    ///
    /// - Parameters:
    ///   - endpoint: Port 0 lets the kernel choose.
    ///   - ofOneFamily: Whether the unspecified address means all addresses of its own family only.
    ///   - interface: The only interface through which clients come; nil for any.
    /// - Returns: The listening socket.
    /// - Throws: `SystemError` of the call that failed.
    static func tcp(
        _ endpoint: Endpoint,
        ofOneFamily: Bool = false,
        interface: String? = nil
    ) throws(SystemError) -> OwnedDescriptor {
        let socket = try bound(endpoint, SOCK_STREAM, ofOneFamily) { socket throws(SystemError) in
            if let interface { try Socket.bind(socket, toInterface: interface) }
            try Socket.set(socket, SOL_SOCKET, SO_REUSEADDR, to: 1)
            try prepareClients(of: socket)
        }
        try Socket.listen(socket)
        return socket
    }

    private static func prepareClients(
        of socket: borrowing OwnedDescriptor
    ) throws(SystemError) {
        try Socket.set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, to: 1)
        try Socket.set(socket, SOL_SOCKET, SO_KEEPALIVE, to: 1)
        try Socket.set(socket, Int32(IPPROTO_TCP), TCP_KEEPIDLE, to: keepAliveIdle)
        try Socket.keepUrgentInLine(socket)
    }

    /// Takes over a socket that the program inherited, as if this type had created it.
    ///
    /// - Parameters:
    ///   - number: The descriptor's number, such as 4.
    ///   - kind: A stream socket that listens on TCP, or a bound UDP socket.
    /// - Returns: The socket, close-on-exec and non-blocking.
    /// - Throws: `SystemError`: EBADF, ENOTSOCK; EPROTOTYPE for another kind of socket.
    static func inherited(_ number: Int32, _ kind: SocketKind) throws(SystemError)
        -> OwnedDescriptor
    {
        let socket = try OwnedDescriptor.inheritedSocket(number)
        let isStream = kind == .stream
        let transport = Int32(isStream ? IPPROTO_TCP : IPPROTO_UDP)
        guard try Socket.option(socket, SOL_SOCKET, SO_PROTOCOL) == transport,
            try Socket.option(socket, SOL_SOCKET, SO_ACCEPTCONN) == (isStream ? 1 : 0)
        else { throw SystemError(call: "descriptor \(number)", errno: EPROTOTYPE) }
        if isStream {
            try prepareClients(of: socket)
        } else if try Socket.localAddress(socket).endpoint?.address.isUnspecified ?? false {
            Socket.tellLocalAddresses(socket)
        }
        return socket
    }

    /// Takes over a listening stream socket of any family that the program inherited.
    ///
    /// - Parameter number: The descriptor's number, such as 3.
    /// - Returns: The socket, close-on-exec and non-blocking.
    /// - Throws: `SystemError`: EBADF, ENOTSOCK; EPROTOTYPE if it does not listen.
    static func inheritedListener(_ number: Int32) throws(SystemError) -> OwnedDescriptor {
        let socket = try OwnedDescriptor.inheritedSocket(number)
        guard try Socket.option(socket, SOL_SOCKET, SO_TYPE) == Int32(SOCK_STREAM.rawValue),
            try Socket.option(socket, SOL_SOCKET, SO_ACCEPTCONN) == 1
        else { throw SystemError(call: "descriptor \(number)", errno: EPROTOTYPE) }
        return socket
    }

    /// Creates a UDP socket; the unspecified address of either family receives datagrams of both.
    ///
    /// At that address, `Socket.receiveAddressed` reports which of the machine's addresses received
    /// a datagram.
    ///
    /// - Parameters:
    ///   - endpoint: Port 0 lets the kernel choose.
    ///   - ofOneFamily: Whether the unspecified address means all addresses of its own family only.
    ///   - interface: The only interface through which datagrams come; nil for any.
    /// - Returns: The bound socket.
    /// - Throws: `SystemError` of the call that failed.
    static func udp(
        _ endpoint: Endpoint,
        ofOneFamily: Bool = false,
        interface: String? = nil
    ) throws(SystemError) -> OwnedDescriptor {
        try bound(endpoint, SOCK_DGRAM, ofOneFamily) { socket throws(SystemError) in
            if let interface { try Socket.bind(socket, toInterface: interface) }
            if endpoint.address.isUnspecified { Socket.tellLocalAddresses(socket) }
        }
    }

    /// Creates a listening unix socket; a datagram socket is only bound.
    ///
    /// Any other file at the path is an error, and so is a symbolic link on the way that others
    /// control (`OutputPath`).
    ///
    /// - Parameters:
    ///   - path: At most 107 bytes, without NUL.
    ///   - kind: Stream, packet or datagram.
    ///   - access: Who may connect; `FileBroker` applies the access that it was started with.
    ///   - replacesStale: Whether to replace a stale socket; if not, it is an error, too.
    /// - Returns: The listening socket.
    /// - Throws: `SystemError` of the call that failed.
    static func unix(
        path: String,
        _ kind: SocketKind = .stream,
        access: SocketAccess = SocketAccess(),
        replacesStale: Bool = true
    ) throws(SystemError) -> OwnedDescriptor {
        guard let address = SocketAddress(path: path), !path.utf8.contains(0) else {
            throw SystemError(call: "bind \(path)", errno: EINVAL)
        }
        if let broker = FileBroker.current {
            return try broker.listen(at: path, kind, replacesStale: replacesStale)
        }
        let place = try OutputPath(path, for: "bind", followsLast: false)
        return try StaleSocket.taking(path, replacing: replacesStale) { () throws(SystemError) in
            let socket = try Socket.make(AF_UNIX, kind)
            // The file is created with the socket's own mode, less umask(2), which applies to the
            // whole process. Nobody can connect before `listen`.
            let (number, mode) = (socket.number, mode_t(access.mode))
            try systemCall("fchmod") { fchmod(number, mode) }
            try Socket.bind(socket, to: address, named: path)
            let file = SocketFile(path)
            do throws(SystemError) {
                guard FileIdentity(named: place.name, in: place.directory) == file.identity else {
                    throw SystemError(
                        call: "bind \(path)",
                        errno: EPERM,
                        explanation: "another directory took the place of the socket's"
                    )
                }
                if access != SocketAccess() { try file.set(access) }
            } catch {
                file.remove()
                throw error
            }
            if kind != .datagram { try Socket.listen(socket) }
            return socket
        }
    }

    private static func bound(
        _ endpoint: Endpoint,
        _ kind: __socket_type,
        _ isOfOneFamily: Bool,
        _ configure: (borrowing OwnedDescriptor) throws(SystemError) -> Void
    ) throws(SystemError) -> OwnedDescriptor {
        guard endpoint.address.isUnspecified, !isOfOneFamily else {
            let family = Socket.family(of: endpoint.address)
            return try bound(endpoint, family, kind, acceptsIPv4: false, configure)
        }
        do {
            let both = Endpoint(address: .anyIPv6, port: endpoint.port)
            return try bound(both, AF_INET6, kind, configure)
        } catch {
            // A machine without IPv6 has no IPv6 sockets, or no IPv6 address.
            guard error.errno == EAFNOSUPPORT || error.errno == EADDRNOTAVAIL else { throw error }
            let ipv4 = Endpoint(address: .anyIPv4, port: endpoint.port)
            return try bound(ipv4, AF_INET, kind, configure)
        }
    }

    private static func bound(
        _ endpoint: Endpoint,
        _ family: Int32,
        _ kind: __socket_type,
        acceptsIPv4: Bool = true,
        _ configure: (borrowing OwnedDescriptor) throws(SystemError) -> Void
    ) throws(SystemError) -> OwnedDescriptor {
        let socket = try Socket.make(family, kind)
        if family == AF_INET6, endpoint.address.isUnspecified {
            try Socket.set(socket, Int32(IPPROTO_IPV6), IPV6_V6ONLY, to: acceptsIPv4 ? 0 : 1)
        }
        try configure(socket)
        try Socket.bind(socket, to: SocketAddress(endpoint), named: endpoint.description)
        return socket
    }
}

extension SystemError {
    /// Whether a waiting connection failed before it was accepted, which does not affect any other.
    ///
    /// See accept(2).
    var concernsOneConnection: Bool {
        [ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH].contains(
            errno
        )
    }

    /// Whether another socket uses the address, or a file exists at the path.
    ///
    /// See bind(2), EADDRINUSE.
    var isAddressInUse: Bool { errno == EADDRINUSE }

    /// Whether the machine does not have the address.
    ///
    /// See bind(2), EADDRNOTAVAIL.
    var isNotLocalAddress: Bool { errno == EADDRNOTAVAIL }

    /// Whether the process may not do it.
    var isForbidden: Bool { errno == EACCES || errno == EPERM }

    /// The error message as Go words it: the C library's message with a lowercase first letter.
    var reason: String {
        let message = explanation ?? Self.message(errno)
        return message.prefix(1).lowercased() + message.dropFirst()
    }
}
