internal import CLinux
internal import Glibc

/// What a guest's packet demands of the path to its destination, as a host socket carries it out.
struct PathOptions: Equatable {
    /// Routers that may still forward the packet; at least 1, because the kernel sends nothing with
    /// 0.
    var hopLimit: UInt8
    /// Whether the packet must arrive in one piece.
    ///
    /// The kernel then applies and learns the path MTU; otherwise it fragments.
    var dontFragment: Bool

    /// The options of a packet after this gateway has forwarded it (RFC 1812, 5.3.1).
    @inline(__always)
    init(forwarding header: IPv4Header) {
        hopLimit = max(header.timeToLive, 2) - 1
        dontFragment = header.dontFragment
    }
}

/// Hop limits and path MTU discovery. See ip(7), IP_TTL, IP_RECVTTL and IP_MTU_DISCOVER.
extension Socket {
    /// Changes a socket's path options where they differ from those it has.
    ///
    /// - Parameters:
    ///   - options: For the packets sent from now on.
    ///   - current: What was set last; nil for a new socket. Updated.
    ///   - descriptor: A datagram, ping or raw socket of IPv4.
    static func set(
        _ options: PathOptions,
        replacing current: inout PathOptions?,
        on descriptor: borrowing OwnedDescriptor
    ) {
        if options.hopLimit != current?.hopLimit { setHopLimit(options.hopLimit, on: descriptor) }
        if options.dontFragment != current?.dontFragment {
            let mode = options.dontFragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT
            setFlag(Int32(IP_MTU_DISCOVER), to: Int32(mode), on: descriptor)
        }
        current = options
    }

    /// Sets the hop limit of the packets that a socket sends from now on.
    static func setHopLimit(_ hopLimit: UInt8, on descriptor: borrowing OwnedDescriptor) {
        setFlag(Int32(IP_TTL), to: Int32(hopLimit), on: descriptor)
    }

    /// Has the kernel report the hop limit that each packet and each ICMP error arrived with.
    static func reportHopLimits(_ isOn: Bool, on descriptor: borrowing OwnedDescriptor) {
        setFlag(Int32(IP_RECVTTL), to: isOn ? 1 : 0, on: descriptor)
    }

    /// The hop limit among control messages; nil when the kernel did not report it.
    static func hopLimit(in control: UnsafeRawBufferPointer) -> UInt8? {
        guard let data = ControlMessage.data(Int32(IPPROTO_IP), Int32(IP_TTL), in: control),
            data.count >= 4
        else { return nil }
        return UInt8(truncatingIfNeeded: data.load(as: Int32.self))
    }

    /// Reads one datagram, its sender, and the hop limit it arrived with; nil when none waits.
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

    /// Whether an address is one of this machine's.
    ///
    /// See bind(2): the kernel refuses any other address.
    static func isLocal(_ address: IPAddress) -> Bool {
        if address.isLoopback { return true }
        do {
            let socket = try make(family(of: address), .datagram)
            try bind(socket, to: SocketAddress(Endpoint(address: address, port: 0)), named: "")
            return true
        } catch {
            return false
        }
    }

    private static func setFlag(
        _ option: Int32,
        to value: Int32,
        on descriptor: borrowing OwnedDescriptor
    ) {
        var value = value
        // Every IPv4 socket has these options and every caller's value is valid, so this cannot
        // fail.
        _ = setsockopt(
            descriptor.number,
            Int32(IPPROTO_IP),
            option,
            &value,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }
}
