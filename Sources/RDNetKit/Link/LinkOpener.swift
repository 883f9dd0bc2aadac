/// Opens sockets at addresses: listens for connections, or connects.
enum LinkOpener {
    /// Listens at a stream's address and passes on every connection.
    ///
    /// - Parameters:
    /// - address: A unix, TCP or vsock address.
    /// - access: Who may connect to a unix socket.
    /// - loop: The event loop that reports connections.
    /// - log: For a socket file that disappears.
    /// - limits: Counts connections that find no free descriptor.
    /// - counters: Counts connections.
    /// - taking: Receives each connection.
    /// - Returns: The listener; the caller must close it.
    /// - Throws: `SystemError` with the address in it.
    static func listen(
        at address: StreamAddress,
        access: SocketAccess = SocketAccess(),
        loop: EventLoop,
        log: Logger,
        limits: LimitLog = .discarding(),
        counters: ListenerCounters = ListenerCounters(),
        taking: @escaping (consuming OwnedDescriptor, Endpoint?) -> Void
    ) throws(SystemError) -> StreamListener {
        var file: String?
        let socket: OwnedDescriptor
        switch address {
        case .unix(let path):
            file = path
            socket = try ListeningSocket.unix(path: path, access: access)
        case .tcp(let endpoint):
            socket = try ListeningSocket.tcp(endpoint.resolved())
        case .vsock(let cid, let port):
            socket = try Socket.listenVsock(cid: cid, port: port, named: "\(address)")
        }
        return try StreamListener(
            socket,
            path: file,
            access: access,
            loop: loop,
            log: log,
            limits: limits,
            counters: counters,
            taking: taking
        )
    }

    /// Listens at an address, or on an inherited socket, and passes on every connection.
    ///
    /// The parameters are those for a stream's address.
    static func listen(
        at address: ListenAddress,
        loop: EventLoop,
        log: Logger,
        limits: LimitLog = .discarding(),
        counters: ListenerCounters = ListenerCounters(),
        taking: @escaping (consuming OwnedDescriptor, Endpoint?) -> Void
    ) throws(SystemError) -> StreamListener {
        switch address {
        case .stream(let address):
            try listen(
                at: address,
                loop: loop,
                log: log,
                limits: limits,
                counters: counters,
                taking: taking
            )
        case .descriptor(let number):
            try StreamListener(
                ListeningSocket.inheritedListener(number),
                loop: loop,
                log: log,
                limits: limits,
                counters: counters,
                taking: taking
            )
        }
    }

    /// Listens at a link's address and passes on every connection.
    ///
    /// - Parameters:
    /// - address: The address of a stream or of a packet socket.
    /// - loop: The event loop that reports connections.
    /// - log: For a socket file that disappears.
    /// - limits: Counts connections that find no free descriptor.
    /// - counters: Counts connections.
    /// - taking: Receives each connection.
    /// - Returns: The listener; the caller must close it.
    /// - Throws: `SystemError` with the address in it.
    static func listen(
        at address: LinkAddress,
        loop: EventLoop,
        log: Logger,
        limits: LimitLog = .discarding(),
        counters: ListenerCounters = ListenerCounters(),
        taking: @escaping (consuming OwnedDescriptor, Endpoint?) -> Void
    ) throws(SystemError) -> StreamListener {
        switch address {
        case .stream(let address, _):
            return try listen(
                at: address,
                loop: loop,
                log: log,
                limits: limits,
                counters: counters,
                taking: taking
            )
        case .packets(let path):
            let socket = try ListeningSocket.unix(path: path, .packet)
            return try StreamListener(
                socket,
                path: path,
                .packet,
                loop: loop,
                log: log,
                limits: limits,
                counters: counters,
                taking: taking
            )
        case .datagrams, .descriptor, .standardStreams, .connect, .program:
            preconditionFailure("\(address) does not accept connections")
        }
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
        case .packets, .datagrams, .standardStreams, .program:
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
