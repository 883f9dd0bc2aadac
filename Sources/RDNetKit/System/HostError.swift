internal import CLinux
internal import Glibc

/// An error that the host's network reported for a datagram sent earlier.
struct HostError {
    /// Where the datagram had been sent.
    let destination: Endpoint
    /// What the guest is told.
    let kind: ICMPMessage.Kind
    /// The next hop's MTU for "fragmentation needed", else zero.
    let mtu: UInt32

    /// What an errno of `connect` or `send` means in ICMP; nil when ICMP has no word for it.
    static func unreachable(errno code: Int32) -> ICMPMessage.Unreachable? {
        switch code {
        case ENETUNREACH, ENETDOWN: .network
        case EHOSTUNREACH, EHOSTDOWN, ETIMEDOUT: .host
        case EACCES, EPERM: .administrativelyProhibited
        default: nil
        }
    }

    /// Whether an errno says that nobody listens there.
    static func isRefusal(errno code: Int32) -> Bool { code == ECONNREFUSED }

    /// Lets a datagram socket keep errors for `next`.
    ///
    /// See ip(7), IP_RECVERR.
    static func collect(on descriptor: borrowing OwnedDescriptor) throws(SystemError) {
        try Socket.set(descriptor, Int32(IPPROTO_IP), Int32(IP_RECVERR), to: 1)
    }

    /// Takes one error from a socket's queue; nil when there is none, or none worth telling.
    ///
    /// See ip(7), `struct sock_extended_err`.
    static func next(on descriptor: borrowing OwnedDescriptor) -> (error: HostError?, isLast: Bool)
    {
        var address = SocketAddress()
        var control = [UInt8](repeating: 0, count: 512)
        var payload = [UInt8](repeating: 0, count: 64)
        var controlLength = 0
        let number = descriptor.number
        // Sound: every pointer in the message is good until recvmsg returns.
        let count = control.withUnsafeMutableBytes { control in
            payload.withUnsafeMutableBytes { payload in
                address.withMutablePointer { name, nameLength in
                    var part = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
                    return withUnsafeMutablePointer(to: &part) { part in
                        var message = msghdr()
                        message.msg_name = UnsafeMutableRawPointer(name)
                        message.msg_namelen = nameLength.pointee
                        message.msg_iov = part
                        message.msg_iovlen = 1
                        message.msg_control = control.baseAddress
                        message.msg_controllen = control.count
                        let count = recvmsg(number, &message, Int32(MSG_ERRQUEUE | MSG_DONTWAIT))
                        controlLength = Int(message.msg_controllen)
                        return count
                    }
                }
            }
        }
        guard count >= 0 else { return (nil, true) }
        guard let endpoint = address.endpoint else { return (nil, false) }
        return (parse(control.prefix(controlLength), destination: endpoint), false)
    }

    private static func parse(_ control: ArraySlice<UInt8>, destination: Endpoint) -> HostError? {
        control.withUnsafeBytes { octets in
            let headerLength = MemoryLayout<cmsghdr>.size
            let bodyLength = MemoryLayout<sock_extended_err>.size
            var offset = 0
            while offset + headerLength <= octets.count {
                let header = octets.loadUnaligned(fromByteOffset: offset, as: cmsghdr.self)
                let length = Int(header.cmsg_len)
                guard length >= headerLength, offset + length <= octets.count else { return nil }
                if header.cmsg_level == Int32(IPPROTO_IP), header.cmsg_type == Int32(IP_RECVERR),
                    length >= headerLength + bodyLength
                {
                    let start = offset + headerLength
                    let error = octets.loadUnaligned(
                        fromByteOffset: start,
                        as: sock_extended_err.self
                    )
                    return HostError(error, destination: destination)
                }
                offset += (length + 7) & ~7
            }
            return nil
        }
    }

    private init?(_ error: sock_extended_err, destination: Endpoint) {
        self.destination = destination
        let code = Int32(bitPattern: error.ee_errno)
        if code == ECONNREFUSED {
            kind = .destinationUnreachable(.port)
            mtu = 0
        } else if code == EMSGSIZE {
            kind = .destinationUnreachable(.fragmentationNeeded)
            mtu = error.ee_info
        } else if let reason = Self.unreachable(errno: code) {
            kind = .destinationUnreachable(reason)
            mtu = 0
        } else {
            return nil
        }
    }
}
