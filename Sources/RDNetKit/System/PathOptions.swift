internal import CLinux
internal import Glibc

/// A guest packet's requirements on the path to its destination, as a host socket applies them.
struct PathOptions: Equatable {
    /// The hop limit to send with; at least 1, because the kernel rejects 0.
    var hopLimit: UInt8
    /// Whether the packet must not be fragmented.
    ///
    /// If so, the kernel discovers and enforces the path MTU; otherwise it fragments.
    var dontFragment: Bool
    let isIPv4: Bool

    /// Creates the options of a packet that this gateway has forwarded (RFC 1812, 5.3.1).
    @inline(__always)
    init(forwarding header: IPHeader) {
        hopLimit = max(header.hopLimit, 2) - 1
        dontFragment = header.dontFragment
        isIPv4 = header.isIPv4
    }
}

/// Hop limits and path MTU discovery.
///
/// See ip(7), IP_TTL, IP_RECVTTL and IP_MTU_DISCOVER, and ipv6(7) for their counterparts.
extension Socket {
    /// Sets the path options that differ from a socket's current ones.
    ///
    /// - Parameters:
    ///   - options: The options for all later packets.
    ///   - current: The options set last; nil for a new socket. Updated.
    ///   - descriptor: A datagram, ping, or raw socket of the options' family.
    static func set(
        _ options: PathOptions,
        replacing current: inout PathOptions?,
        on descriptor: borrowing OwnedDescriptor
    ) {
        if options.hopLimit != current?.hopLimit {
            setHopLimit(options.hopLimit, isIPv4: options.isIPv4, on: descriptor)
        }
        if options.dontFragment != current?.dontFragment {
            let isIPv4 = options.isIPv4
            let modes =
                isIPv4
                ? (IP_PMTUDISC_DO, IP_PMTUDISC_DONT) : (IPV6_PMTUDISC_DO, IPV6_PMTUDISC_DONT)
            let option = isIPv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER
            let mode = options.dontFragment ? modes.0 : modes.1
            setFlag(Int32(option), to: Int32(mode), isIPv4: isIPv4, on: descriptor)
        }
        current = options
    }

    /// Sets the hop limit of all later packets from a socket.
    static func setHopLimit(
        _ hopLimit: UInt8,
        isIPv4: Bool,
        on descriptor: borrowing OwnedDescriptor
    ) {
        let option = isIPv4 ? IP_TTL : IPV6_UNICAST_HOPS
        setFlag(Int32(option), to: Int32(hopLimit), isIPv4: isIPv4, on: descriptor)
    }

    /// Sets whether the kernel reports the hop limit of each received packet and ICMP error.
    static func reportHopLimits(
        _ isOn: Bool,
        isIPv4: Bool,
        on descriptor: borrowing OwnedDescriptor
    ) {
        let option = isIPv4 ? IP_RECVTTL : IPV6_RECVHOPLIMIT
        setFlag(Int32(option), to: isOn ? 1 : 0, isIPv4: isIPv4, on: descriptor)
    }

    /// The hop limit in control messages; nil when the kernel did not report it.
    static func hopLimit(in control: UnsafeRawBufferPointer) -> UInt8? {
        let dataIPv4 = ControlMessage.data(Int32(IPPROTO_IP), Int32(IP_TTL), in: control)
        let (level, kind) = (Int32(IPPROTO_IPV6), Int32(IPV6_HOPLIMIT))
        guard let data = dataIPv4 ?? ControlMessage.data(level, kind, in: control),
            data.count >= 4
        else { return nil }
        return UInt8(truncatingIfNeeded: data.load(as: Int32.self))
    }

    /// Receives one datagram, its sender, and its hop limit; nil when none is waiting.
    static func receiveWithHopLimit(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> (count: Int, sender: SocketAddress, hopLimit: UInt8?)? {
        let number = descriptor.number
        var control = InlineArray<4, UInt64>(repeating: 0)
        return try withUnsafeMutableBytes(of: &control) { (control) throws(SystemError) in
            guard let message = try receiveMessage(number, into: buffer, control: control) else {
                return nil
            }
            let reported = UnsafeRawBufferPointer(rebasing: control[..<message.controlCount])
            return (message.count, message.sender, hopLimit(in: reported))
        }
    }

    /// Whether an address belongs to this machine.
    ///
    /// See bind(2): the kernel refuses any other address.
    static func isLocal(_ address: IPAddress) -> Bool {
        address.isLoopback || bindError(address) == nil
    }

    /// Whether an address certainly does not belong to this machine.
    ///
    /// See bind(2), EADDRNOTAVAIL.
    static func isForeign(_ address: IPAddress) -> Bool {
        bindError(address)?.errno == EADDRNOTAVAIL
    }

    private static func bindError(_ address: IPAddress) -> SystemError? {
        do {
            let socket = try make(family(of: address), .datagram)
            try bind(socket, to: SocketAddress(Endpoint(address: address, port: 0)), named: "")
            return nil
        } catch {
            return error
        }
    }

    /// Compares a TCP listener with the endpoint that a guest connects to.
    ///
    /// - Parameters:
    ///   - listener: The listening endpoint; the unspecified address accepts both families.
    ///   - host: The guest's destination on the host.
    /// - Returns: Whether the listener accepts the connection.
    static func isListener(_ listener: Endpoint, at host: Endpoint) -> Bool {
        guard listener.port == host.port else { return false }
        // A guest's connection to 127.0.0.1 may be continued at ::1.
        if listener.address.isLoopback, host.address.isLoopback { return true }
        return listener.address == host.address
            || listener.address.isUnspecified && isLocal(host.address)
    }

    private static func setFlag(
        _ option: Int32,
        to value: Int32,
        isIPv4: Bool,
        on descriptor: borrowing OwnedDescriptor
    ) {
        var value = value
        // Every socket of the family has these options and every caller's value is valid, so this
        // cannot fail.
        _ = setsockopt(
            descriptor.number,
            Int32(isIPv4 ? IPPROTO_IP : IPPROTO_IPV6),
            option,
            &value,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }
}
