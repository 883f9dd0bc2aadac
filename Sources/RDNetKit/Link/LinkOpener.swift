/// Opens sockets at addresses: listens for connections, or connects.
enum LinkOpener {
    /// Listens at an address and passes on every connection.
    ///
    /// - Parameters:
    /// - address: The address of a stream, of a packet socket or of vhost-user, or a descriptor
    ///   that listens.
    /// - access: Who may connect to a unix socket.
    /// - loop: The event loop that reports connections.
    /// - log: For a socket file that disappears.
    /// - limits: Counts connections that find no free descriptor.
    /// - counters: Counts connections.
    /// - taking: Receives each connection.
    /// - Returns: The listener; the caller must close it.
    /// - Throws: `SystemError` with the address in it.
    static func listen(
        at address: LinkAddress,
        access: SocketAccess = SocketAccess(),
        loop: EventLoop,
        log: Logger,
        limits: LimitLog = .discarding(),
        counters: ListenerCounters = ListenerCounters(),
        taking: @escaping (consuming OwnedDescriptor, Endpoint?) -> Void
    ) throws(SystemError) -> StreamListener {
        var file: String?
        var kind = SocketKind.stream
        let socket: OwnedDescriptor
        switch address {
        case .stream(.unix(let path), _):
            file = path
            socket = try ListeningSocket.unix(path: path, access: access)
        case .stream(.tcp(let endpoint), _):
            socket = try ListeningSocket.tcp(endpoint.resolved())
        case .stream(.vsock(let cid, let port), _):
            socket = try Socket.listenVsock(
                cid: cid,
                port: port,
                named: "\(StreamAddress.vsock(cid: cid, port: port))"
            )
        case .packets(let path):
            file = path
            kind = .packet
            socket = try ListeningSocket.unix(path: path, kind, access: access)
        case .vhost(let path):
            file = path
            socket = try ListeningSocket.unix(path: path, access: access)
        case .descriptor(let number):
            socket = try ListeningSocket.inheritedListener(number)
        case .datagrams, .standardStreams, .connect, .program:
            preconditionFailure("\(address) does not accept connections")
        }
        return try StreamListener(
            socket,
            path: file,
            kind,
            access: access,
            loop: loop,
            log: log,
            limits: limits,
            counters: counters,
            taking: taking
        )
    }

    /// Starts to connect to an address.
    ///
    /// - Parameter address: A stream's address, or a descriptor that is already connected.
    /// - Returns: The socket, and whether it is already connected.
    /// - Throws: `SystemError`, such as ECONNREFUSED from a unix socket.
    static func dial(_ address: LinkAddress) throws(SystemError) -> DialedSocket {
        switch address {
        case .stream(let address, _), .connect(let address, _):
            return try dial(address)
        case .descriptor(let number):
            return DialedSocket(
                descriptor: try OwnedDescriptor.inherited(number),
                isConnected: true
            )
        case .packets, .datagrams, .vhost, .standardStreams, .program:
            preconditionFailure("cannot connect to \(address)")
        }
    }

    /// Starts to connect to a stream's address.
    ///
    /// - Parameter address: The address of a listener.
    /// - Returns: The socket, and whether it is already connected.
    /// - Throws: `SystemError`, such as ECONNREFUSED from a unix socket.
    static func dial(_ address: StreamAddress) throws(SystemError) -> DialedSocket {
        switch address {
        case .unix(let path):
            guard let target = SocketAddress(path: path) else {
                throw SystemError.tooLong("connect \(path)")
            }
            if let broker = FileBroker.current {
                return DialedSocket(descriptor: try broker.connect(to: path), isConnected: true)
            }
            return try dial(Socket.makeUnix(), to: target)
        case .tcp(let endpoint):
            let peer = try endpoint.resolved()
            let socket = try Socket.make(Socket.family(of: peer.address), .stream)
            try Socket.setNoDelay(socket)
            try Socket.setKeepAlive(socket)
            return try dial(socket, to: SocketAddress(peer))
        case .vsock(let cid, let port):
            // The default context is the host (2), because a guest's other end is there.
            let target = SocketAddress(vsockCID: cid ?? 2, port: port)
            return try dial(Socket.makeVsock(), to: target)
        }
    }

    private static func dial(
        _ socket: consuming OwnedDescriptor,
        to address: SocketAddress
    ) throws(SystemError) -> DialedSocket {
        let isConnected = try Socket.connect(socket, to: address)
        return DialedSocket(descriptor: socket, isConnected: isConnected)
    }

    /// Returns the format of the prefix of each frame on a stream.
    static func format(of address: LinkAddress) -> StreamFormat {
        if case .stream(_, .bigEndian32) = address { .bigEndian32 } else { .littleEndian16 }
    }
}

/// A socket that is connected or connecting.
struct DialedSocket: ~Copyable {
    let descriptor: OwnedDescriptor
    let isConnected: Bool
}
