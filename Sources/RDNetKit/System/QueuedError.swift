internal import CLinux
internal import Glibc

/// An error that the host's kernel or network reported for an earlier packet.
///
/// The kernel keeps such errors in the socket's error queue. See ip(7), IP_RECVERR and `struct
/// sock_extended_err`, and ipv6(7), IPV6_RECVERR.
struct QueuedError {
    /// The packet's destination; port 0 for an echo request.
    private(set) var destination: Endpoint
    /// The ICMP error, or the one that corresponds to the kernel's errno.
    let kind: ICMPMessage.Kind
    /// The second word of the ICMP error: the next hop's MTU or the pointer, otherwise zero (RFC
    /// 792; RFC 1191, 4; RFC 4443, 3).
    let rest: UInt32
    /// The sender of the ICMP error; nil when this machine's kernel refused to send the packet.
    private(set) var offender: IPAddress?
    /// The hop limit of the ICMP error on arrival; nil when the kernel did not report it.
    let hopLimit: UInt8?
    /// The number of bytes that the ICMP error quoted; for UDP, without the UDP header.
    let quotedCount: Int

    /// A result of `next`.
    enum Entry {
        case error(QueuedError)
        /// An entry that does not concern a guest.
        case other
    }

    /// The ICMP error that corresponds to an errno of `connect` or `send`; nil when none does.
    static func unreachable(errno code: Int32) -> ICMPMessage.Unreachable? {
        switch code {
        case ENETUNREACH, ENETDOWN: .network
        // A host without IPv6, or with no address of the needed kind.
        case EAFNOSUPPORT, EADDRNOTAVAIL: .network
        case EHOSTUNREACH, EHOSTDOWN, ETIMEDOUT: .host
        case EACCES, EPERM: .administrativelyProhibited
        default: nil
        }
    }

    /// Whether an errno means that the port is closed.
    static func isRefusal(errno code: Int32) -> Bool { code == ECONNREFUSED }

    /// Makes the kernel queue errors of a datagram, ping, or raw socket for `next`.
    ///
    /// A TCP socket queues those of its handshake even without this option (Linux 5.8). Never
    /// enable the option on a TCP socket: an ICMP error would then end an open connection (RFC
    /// 5382, REQ-10).
    static func collect(
        on descriptor: borrowing OwnedDescriptor,
        isIPv4: Bool = true
    ) throws(SystemError) {
        let level = Int32(isIPv4 ? IPPROTO_IP : IPPROTO_IPV6)
        try Socket.set(descriptor, level, Int32(isIPv4 ? IP_RECVERR : IPV6_RECVERR), to: 1)
    }

    /// Takes one entry from a socket's error queue.
    ///
    /// - Parameters:
    ///   - descriptor: A socket of either family.
    ///   - buffer: Receives the packet that the ICMP error quotes.
    /// - Returns: Nil when the queue is empty.
    static func next(
        on descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer
    ) -> Entry? {
        let number = descriptor.number
        // Large enough for the error, the offender's address, and the hop limit.
        var control = InlineArray<32, UInt64>(repeating: 0)
        return withUnsafeMutableBytes(of: &control) { control -> Entry? in
            do {
                let message = try Socket.receiveMessage(
                    number,
                    into: buffer,
                    control: control,
                    flags: Int32(MSG_ERRQUEUE)
                )
                guard let message else { return nil }
                let reported = UnsafeRawBufferPointer(rebasing: control[..<message.controlCount])
                return QueuedError(message, reported).map { .error($0) } ?? .other
            } catch {
                return nil
            }
        }
    }

    /// The findings of `drain`.
    struct Findings {
        /// Set when this machine's kernel itself refused the latest packet.
        var refusal: QueuedError?
        /// Whether the queue held errors of earlier packets, which may have made the latest call
        /// fail.
        var foundEarlier = false
    }

    /// Takes the entries from a socket's error queue.
    ///
    /// - Parameters:
    ///   - descriptor: A socket of either family.
    ///   - buffer: Receives the packet that each ICMP error quotes.
    ///   - limit: The maximum number of entries.
    ///   - receive: Receives each ICMP error and the packet that it quotes.
    /// - Returns: What the errors mean for the latest packet.
    static func drain(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer,
        limit: Int,
        _ receive: (QueuedError, UnsafeRawBufferPointer) -> Void
    ) -> Findings {
        var findings = Findings()
        for _ in 0..<limit {
            guard let entry = next(on: descriptor, into: buffer) else { break }
            switch entry {
            case .error(let error) where error.offender == nil:
                findings.refusal = error
            case .error(let error):
                findings.foundEarlier = true
                receive(error, UnsafeRawBufferPointer(rebasing: buffer[..<error.quotedCount]))
            case .other:
                findings.foundEarlier = true
            }
        }
        return findings
    }

    /// The same error about a packet to another address of this machine, and reported from there.
    func moved(to address: IPAddress) -> QueuedError {
        var error = self
        error.destination.address = address
        if offender != nil { error.offender = address }
        return error
    }

    private init?(_ message: SocketMessage, _ control: UnsafeRawBufferPointer) {
        let length = MemoryLayout<sock_extended_err>.size
        guard let destination = message.sender.endpoint,
            let data = Self.data(in: control), data.count >= length
        else { return nil }
        // Sound: the structure is plain memory, and the length was checked.
        let error = data.load(as: sock_extended_err.self)
        self.destination = destination
        hopLimit = Socket.hopLimit(in: control)
        quotedCount = message.count
        switch Int32(error.ee_origin) {
        case SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6:
            let isIPv4 = error.ee_origin == SO_EE_ORIGIN_ICMP
            guard let meaning = Self.meaning(ofICMP: error, isIPv4: isIPv4) else { return nil }
            (kind, rest) = meaning
            let sender = UnsafeRawBufferPointer(rebasing: data[length...])
            offender = SocketAddress(copying: sender).endpoint?.address ?? destination.address
        case SO_EE_ORIGIN_LOCAL:
            guard let meaning = Self.meaning(ofLocal: error) else { return nil }
            (kind, rest) = meaning
            offender = nil
        default:
            return nil
        }
    }

    /// The extended error among control messages; nil when there is none.
    private static func data(in control: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        ControlMessage.data(Int32(IPPROTO_IP), Int32(IP_RECVERR), in: control)
            ?? ControlMessage.data(Int32(IPPROTO_IPV6), Int32(IPV6_RECVERR), in: control)
    }

    private static func meaning(
        ofICMP error: sock_extended_err,
        isIPv4: Bool
    ) -> (kind: ICMPMessage.Kind, rest: UInt32)? {
        let (type, code) = (error.ee_type, error.ee_code)
        let kind =
            isIPv4
            ? ICMPMessage.Kind(type: type, code: code)
            : ICMPMessage.Kind(typeIPv6: type, code: code)
        switch kind {
        case .destinationUnreachable(.fragmentationNeeded):
            return (kind, min(error.ee_info, 65_535))
        case .destinationUnreachable, .timeExceeded: return (kind, 0)
        case .parameterProblem: return (kind, isIPv4 ? error.ee_info << 24 : error.ee_info)
        // Hosts must ignore source quench (RFC 6633), and redirects concern only this host.
        case .echoReply, .echoRequest, .other: return nil
        }
    }

    private static func meaning(
        ofLocal error: sock_extended_err
    ) -> (kind: ICMPMessage.Kind, rest: UInt32)? {
        let code = Int32(bitPattern: error.ee_errno)
        if code == EMSGSIZE {
            return (.destinationUnreachable(.fragmentationNeeded), min(error.ee_info, 65_535))
        }
        return unreachable(errno: code).map { (.destinationUnreachable($0), 0) }
    }
}
