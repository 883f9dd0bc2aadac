internal import CLinux
internal import Glibc

/// One of this machine's addresses: a datagram arrived there, and its answer must leave from there.
struct LocalAddress: Hashable {
    var address: IPAddress
    /// The interface of an fe80::/10 address, which is ambiguous without it; otherwise 0, and
    /// routing decides.
    var interface: UInt32 = 0
}

/// A datagram with its sender and the local address that received it.
struct AddressedDatagram {
    var count: Int
    var sender: SocketAddress
    /// Nil if the kernel does not report it, or for an IPv6 group, which cannot be a source
    /// address.
    var local: LocalAddress?
}

/// UDP on all of the machine's addresses; an answer leaves from the address that was queried.
///
/// See ip(7), IP_PKTINFO, and ipv6(7), IPV6_PKTINFO (RFC 3542, 6).
extension Socket {
    /// Size of `struct in_pktinfo` in bytes: interface, local address, destination.
    private static let pktinfoLength = 12
    /// Size of `struct in6_pktinfo` in bytes: address, interface.
    private static let pktinfo6Length = 20

    /// Creates a UDP socket on a free port of one of this machine's addresses, for a single client.
    ///
    /// The kernel delivers only the client's datagrams. See connect(2) and udp(7).
    ///
    /// - Parameters:
    ///   - local: The source address. If it is unspecified or fe80::/10, routing chooses the
    ///     address, because routing knows the client's interface.
    ///   - client: The destination; IPv4 either as AF_INET or mapped into IPv6.
    /// - Returns: The connected socket.
    /// - Throws: `SystemError` of the call that failed.
    static func answeringDatagram(
        from local: IPAddress,
        to client: SocketAddress
    ) throws(SystemError) -> OwnedDescriptor {
        guard let endpoint = client.endpoint else {
            throw SystemError(call: "connect", errno: EAFNOSUPPORT)
        }
        let socket = try make(family(of: endpoint.address), SOCK_DGRAM)
        if !local.isUnspecified, !local.isLinkLocal {
            let any = Endpoint(address: local, port: 0)
            try bind(socket, to: SocketAddress(any), named: "\(any)")
        }
        let isIPv4 = endpoint.address.isIPv4
        _ = try connect(socket, to: isIPv4 ? SocketAddress(endpoint) : client)
        return socket
    }

    /// Makes the kernel report the destination address of each datagram.
    static func tellLocalAddresses(_ descriptor: borrowing OwnedDescriptor) {
        var enabled: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        let number = descriptor.number
        // A dual-stack socket needs both options; an IPv4 socket refuses the second. Without them,
        // the kernel chooses the source address of answers.
        _ = setsockopt(number, Int32(IPPROTO_IP), Int32(IP_PKTINFO), &enabled, size)
        _ = setsockopt(number, Int32(IPPROTO_IPV6), Int32(IPV6_RECVPKTINFO), &enabled, size)
    }

    /// Reads one datagram with its sender and local address; returns nil if none waits.
    static func receiveAddressed(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> AddressedDatagram? {
        let number = descriptor.number
        // Room for both messages, with their headers.
        var control = InlineArray<9, UInt64>(repeating: 0)
        return try withUnsafeMutableBytes(of: &control) { (control) throws(SystemError) in
            guard let message = try receiveMessage(number, into: buffer, control: control) else {
                return nil
            }
            let told = UnsafeRawBufferPointer(rebasing: control[..<message.controlCount])
            return AddressedDatagram(
                count: message.count,
                sender: message.sender,
                local: localAddress(told)
            )
        }
    }

    private static func localAddress(_ control: UnsafeRawBufferPointer) -> LocalAddress? {
        // IP_PKTINFO goes first: for a broadcast, it holds the local address to answer from
        // (ipi_spec_dst).
        if let told = ControlMessage.data(Int32(IPPROTO_IP), Int32(IP_PKTINFO), in: control),
            told.count >= pktinfoLength
        {
            let address = UInt32(bigEndian: told.load(fromByteOffset: 4, as: UInt32.self))
            return address == 0 ? nil : LocalAddress(address: IPAddress(ipv4: address))
        }
        guard let told = ControlMessage.data(Int32(IPPROTO_IPV6), Int32(IPV6_PKTINFO), in: control),
            told.count >= pktinfo6Length
        else { return nil }
        let address = IPAddress(
            high: UInt64(bigEndian: told.load(as: UInt64.self)),
            low: UInt64(bigEndian: told.load(fromByteOffset: 8, as: UInt64.self))
        )
        guard !address.isMulticast else { return nil }
        let interface = told.load(fromByteOffset: 16, as: UInt32.self)
        return LocalAddress(address: address, interface: address.isLinkLocal ? interface : 0)
    }

    /// Sends one datagram from one of this machine's addresses.
    ///
    /// - Parameters:
    ///   - descriptor: A socket bound to every address.
    ///   - octets: The datagram.
    ///   - local: The source address.
    ///   - address: The destination.
    /// - Returns: The number of bytes sent; nil if the queue is full.
    /// - Throws: `SystemError`: EINVAL if the machine no longer has the address.
    static func sendDatagram(
        _ descriptor: borrowing OwnedDescriptor,
        _ octets: UnsafeRawBufferPointer,
        from local: LocalAddress,
        to address: SocketAddress
    ) throws(SystemError) -> Int? {
        let number = descriptor.number
        var control = InlineArray<5, UInt64>(repeating: 0)
        return try withUnsafeMutableBytes(of: &control) { (control) throws(SystemError) in
            let used = write(local, to: control)
            return try sendMessage(
                number,
                octets,
                to: address,
                control: UnsafeMutableRawBufferPointer(rebasing: control[..<used])
            )
        }
    }

    /// Writes the control message with the source address and returns its size in bytes.
    private static func write(
        _ local: LocalAddress,
        to control: UnsafeMutableRawBufferPointer
    ) -> Int {
        let data = ControlMessage.headerLength
        if let ipv4 = local.address.ipv4 {
            let (level, kind) = (Int32(IPPROTO_IP), Int32(IP_PKTINFO))
            ControlMessage.writeHeader(level, kind, dataCount: pktinfoLength, to: control)
            control.storeBytes(of: ipv4.bigEndian, toByteOffset: data + 4, as: UInt32.self)
            return ControlMessage.space(pktinfoLength)
        }
        let (level, kind) = (Int32(IPPROTO_IPV6), Int32(IPV6_PKTINFO))
        ControlMessage.writeHeader(level, kind, dataCount: pktinfo6Length, to: control)
        let address = local.address
        control.storeBytes(of: address.high.bigEndian, toByteOffset: data, as: UInt64.self)
        control.storeBytes(of: address.low.bigEndian, toByteOffset: data + 8, as: UInt64.self)
        control.storeBytes(of: local.interface, toByteOffset: data + 16, as: UInt32.self)
        return ControlMessage.space(pktinfo6Length)
    }
}
