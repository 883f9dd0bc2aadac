internal import CLinux
internal import Glibc

/// Client sockets, and input and output of arrays.
extension Socket {
    /// Creates a UDP socket that exchanges datagrams with one peer; the kernel chooses a random
    /// port.
    ///
    /// See udp(7).
    static func connectedDatagram(to peer: Endpoint) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try make(family(of: peer.address), SOCK_DGRAM)
        _ = try connect(descriptor, to: SocketAddress(peer))
        return descriptor
    }

    /// Creates a UDP socket that exchanges datagrams with one machine, which may answer from any
    /// port.
    ///
    /// The socket is not connected, and keeps errors for `QueuedError.next`.
    static func relayingDatagram(to peer: Endpoint) throws(SystemError) -> OwnedDescriptor {
        try mappingDatagram(isIPv4: peer.address.isIPv4)
    }

    /// Creates a UDP socket that exchanges datagrams with any number of machines of one family, and
    /// keeps errors for `QueuedError.next`.
    static func mappingDatagram(isIPv4: Bool) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try make(isIPv4 ? AF_INET : AF_INET6, SOCK_DGRAM)
        if !isIPv4 { try set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, to: 1) }
        try QueuedError.collect(on: descriptor, isIPv4: isIPv4)
        return descriptor
    }

    /// Creates a TCP socket and starts to connect; it becomes writable when the attempt has ended.
    ///
    /// See connect(2).
    static func connectingStream(to peer: Endpoint) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try make(family(of: peer.address), SOCK_STREAM)
        _ = try connect(descriptor, to: SocketAddress(peer))
        return descriptor
    }

    /// Discards waiting bytes of a connection on which this end only sends.
    ///
    /// - Returns: Whether the other end has closed it, also by a reset.
    static func hasEndedIgnoringInput(_ descriptor: borrowing OwnedDescriptor) -> Bool {
        do {
            return try receive(descriptor, upTo: 4_096)?.isEmpty == true
        } catch {
            return true
        }
    }

    /// Receives waiting bytes up to a limit; empty at the end of the stream, nil if none wait.
    ///
    /// See recv(2).
    static func receive(
        _ descriptor: borrowing OwnedDescriptor,
        upTo count: Int
    ) throws(SystemError) -> [UInt8]? {
        let number = descriptor.number
        var octets = [UInt8](repeating: 0, count: count)
        let received = try attempt("recv") { recv(number, &octets, count, 0) }
        return received.map { Array(octets[..<$0]) }
    }

    /// Creates a TCP socket and starts to connect on this machine, to carry another connection's
    /// data.
    ///
    /// See connect(2).
    static func relayingStream(to peer: Endpoint) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try make(family(of: peer.address), SOCK_STREAM)
        try setNoDelay(descriptor)
        try setKeepAlive(descriptor)
        try keepUrgentInLine(descriptor)
        sendUnpaced(descriptor)
        _ = try connect(descriptor, to: SocketAddress(peer))
        return descriptor
    }

    /// Delivers one message to a listening unix socket in a separate connection, without waiting.
    ///
    /// A unix connection succeeds or fails at once. See connect(2).
    ///
    /// - Parameters:
    ///   - octets: Few enough for the buffer of an empty socket.
    ///   - path: The listener's path.
    /// - Returns: Whether the message was accepted; false if too many connections wait there.
    /// - Throws: `SystemError` if no socket listens there.
    static func deliver(_ octets: [UInt8], to path: String) throws(SystemError) -> Bool {
        guard let address = SocketAddress(path: path) else {
            throw SystemError.tooLong("connect \(path)")
        }
        do {
            let descriptor = try connected(to: address, at: path)
            return try send(descriptor, octets) == octets.count
        } catch {
            if error.errno == EAGAIN { return false }
            throw SystemError(call: "connect \(path)", errno: error.errno)
        }
    }

    private static func connected(
        to address: SocketAddress,
        at path: String
    ) throws(SystemError) -> OwnedDescriptor {
        if let broker = FileBroker.current { return try broker.connect(to: path) }
        let descriptor = try makeUnix()
        _ = try connect(descriptor, to: address)
        return descriptor
    }

    /// Sends the bytes of an array from an offset on; returns nil if the call would block.
    ///
    /// See send(2).
    static func send(
        _ descriptor: borrowing OwnedDescriptor,
        _ octets: [UInt8],
        from offset: Int = 0
    ) throws(SystemError) -> Int? {
        let number = descriptor.number
        return try attempt("send") {
            // Sound: the slice is bounds-checked and lives as long as the call.
            octets[offset...].withUnsafeBytes {
                Glibc.send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
        }
    }
}
