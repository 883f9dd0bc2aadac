internal import CLinux
internal import Glibc

/// Sockets of a client, and array-sized input and output on them.
extension Socket {
    /// A UDP socket that exchanges datagrams with one peer, from a random port of the kernel's
    /// choice.
    ///
    /// See udp(7).
    static func connectedDatagram(to peer: Endpoint) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try make(family(of: peer.address), SOCK_DGRAM)
        _ = try connect(descriptor, to: SocketAddress(peer))
        return descriptor
    }

    /// A UDP socket that exchanges datagrams with one machine, any of whose ports may answer.
    ///
    /// With IPv4 it is not connected, and keeps errors for `QueuedError.next`; with IPv6 it is, and
    /// one port alone can answer.
    static func relayingDatagram(to peer: Endpoint) throws(SystemError) -> OwnedDescriptor {
        guard peer.address.isIPv4 else { return try connectedDatagram(to: peer) }
        let descriptor = try make(AF_INET, SOCK_DGRAM)
        try QueuedError.collect(on: descriptor)
        return descriptor
    }

    /// A TCP socket that has begun to connect; readiness for writing tells that it has ended.
    ///
    /// See connect(2).
    static func connectingStream(to peer: Endpoint) throws(SystemError) -> OwnedDescriptor {
        let descriptor = try make(family(of: peer.address), SOCK_STREAM)
        _ = try connect(descriptor, to: SocketAddress(peer))
        return descriptor
    }

    /// Receives what waits, up to so many octets; empty at the stream's end, nil when nothing
    /// waits.
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

    /// A TCP socket that has begun to connect on this machine, to carry what another connection
    /// carries.
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

    /// Gives a listener on a unix socket one message in a connection of its own, without waiting.
    ///
    /// See connect(2): such a connection is made at once, or not at all.
    ///
    /// - Parameters:
    ///   - octets: Few enough for an empty socket to hold.
    ///   - path: Where it listens.
    /// - Returns: Whether it was taken; false when too many connections wait there.
    /// - Throws: `SystemError` when nobody listens there.
    static func deliver(_ octets: [UInt8], to path: String) throws(SystemError) -> Bool {
        guard let address = SocketAddress(path: path) else {
            throw SystemError.tooLong("connect \(path)")
        }
        let descriptor = try makeUnix()
        do {
            _ = try connect(descriptor, to: address)
        } catch {
            if error.errno == EAGAIN { return false }
            throw SystemError(call: "connect \(path)", errno: error.errno)
        }
        return try send(descriptor, octets) == octets.count
    }

    /// Sends octets of an array from an offset on; nil when it would block.
    ///
    /// See send(2).
    static func send(
        _ descriptor: borrowing OwnedDescriptor,
        _ octets: [UInt8],
        from offset: Int = 0
    ) throws(SystemError) -> Int? {
        let number = descriptor.number
        return try attempt("send") {
            // Sound: the slice is bounds-checked, and lives as long as the call.
            octets[offset...].withUnsafeBytes {
                Glibc.send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
        }
    }
}
