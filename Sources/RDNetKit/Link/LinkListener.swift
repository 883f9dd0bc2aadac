/// Opens links from addresses: listening for guests, or dialling a host.
enum LinkOpener {
    /// Listens at an address and hands on every connection.
    ///
    /// - Parameters:
    ///   - address: A stream or vsock address.
    ///   - loop: Where connections become events.
    ///   - taking: Is given each connection.
    /// - Returns: The listener, to be closed by its owner.
    /// - Throws: `SystemError` with the address in it.
    static func listen(
        at address: LinkAddress,
        loop: EventLoop,
        taking: @escaping (consuming OwnedDescriptor, Endpoint?) -> Void
    ) throws(SystemError) -> StreamListener {
        switch address {
        case .stream(.unix(let path), _):
            let socket = try ListeningSocket.unix(path: path)
            return try StreamListener(socket, path: path, loop: loop, taking: taking)
        case .stream(.tcp(let endpoint), _):
            let socket = try ListeningSocket.tcp(endpoint)
            return try StreamListener(socket, loop: loop, taking: taking)
        case .vsock(let cid, let port):
            let socket = try Socket.listenVsock(cid: cid, port: port, named: "\(address)")
            return try StreamListener(socket, loop: loop, taking: taking)
        case .descriptor(let number):
            preconditionFailure("descriptor \(number) is connected already: nothing to listen at")
        }
    }

    /// Begins to connect to an address.
    ///
    /// - Parameter address: A stream or vsock address, or a descriptor that is connected already.
    /// - Returns: The socket, and whether it is connected already.
    /// - Throws: `SystemError`, such as ECONNREFUSED from a unix socket.
    static func dial(_ address: LinkAddress) throws(SystemError) -> DialledSocket {
        switch address {
        case .stream(.unix(let path), _):
            guard let target = SocketAddress(path: path) else {
                throw SystemError.tooLong("connect \(path)")
            }
            return try dial(Socket.makeUnix(), to: target)
        case .stream(.tcp(let endpoint), _):
            let socket = try Socket.make(Socket.family(of: endpoint.address), .stream)
            try Socket.setNoDelay(socket)
            try Socket.setKeepAlive(socket)
            return try dial(socket, to: SocketAddress(endpoint))
        case .vsock(let cid, let port):
            // Without a context the host, which is where a guest's other end is.
            let target = SocketAddress(vsockCID: cid ?? 2, port: port)
            return try dial(Socket.makeVsock(), to: target)
        case .descriptor(let number):
            return DialledSocket(
                descriptor: try OwnedDescriptor.inherited(number),
                isConnected: true
            )
        }
    }

    private static func dial(
        _ socket: consuming OwnedDescriptor,
        to address: SocketAddress
    ) throws(SystemError) -> DialledSocket {
        let isConnected = try Socket.connect(socket, to: address)
        return DialledSocket(descriptor: socket, isConnected: isConnected)
    }

    /// What stands before each frame at an address.
    static func format(of address: LinkAddress) -> StreamFormat {
        switch address {
        case .stream(_, .bigEndian32): .bigEndian32
        case .stream(_, .littleEndian16), .vsock, .descriptor: .littleEndian16
        }
    }
}

/// A socket on its way to being connected.
struct DialledSocket: ~Copyable {
    let descriptor: OwnedDescriptor
    let isConnected: Bool
}
