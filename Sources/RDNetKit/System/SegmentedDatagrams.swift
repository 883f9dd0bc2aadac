internal import CLinux
internal import Glibc

/// Datagrams that the kernel received as one: equal in length but for the last.
struct DatagramTrain {
    /// Octets of all of them, one behind the other.
    var count: Int
    /// Octets of each but the last; `count` when there is only one.
    var segmentSize: Int
    var sender: SocketAddress
}

/// UDP with many datagrams in one call. See udp(7), UDP_GRO and UDP_SEGMENT.
extension Socket {
    /// A control message with one integer: header of 16 octets, data, padding.
    private static let controlLength = 24

    /// Lets the kernel hand over datagrams of one sender together; older kernels go on one by one.
    static func receiveTrains(_ descriptor: borrowing OwnedDescriptor) {
        var enabled: Int32 = 1
        // ENOPROTOOPT before Linux 5.0, which costs speed only.
        _ = setsockopt(
            descriptor.number,
            Int32(IPPROTO_UDP),
            Int32(CLINUX_UDP_GRO),
            &enabled,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }

    /// Receives one datagram, or several of one sender.
    ///
    /// - Parameters:
    ///   - descriptor: A UDP socket.
    ///   - buffer: 64 KiB.
    /// - Returns: What came; nil when nothing waits.
    /// - Throws: `SystemError`.
    static func receiveTrain(
        _ descriptor: borrowing OwnedDescriptor,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> DatagramTrain? {
        let number = descriptor.number
        var sender = SocketAddress()
        var control = (UInt64(0), UInt64(0), UInt64(0))
        var part = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
        // Sound: every pointer in the message is good until recvmsg returns.
        let count = try attempt("recvmsg") {
            sender.withMutablePointer { name, nameLength in
                withUnsafeMutableBytes(of: &control) { control in
                    withUnsafeMutablePointer(to: &part) { part in
                        var message = msghdr()
                        message.msg_name = UnsafeMutableRawPointer(name)
                        message.msg_namelen = nameLength.pointee
                        message.msg_iov = part
                        message.msg_iovlen = 1
                        message.msg_control = control.baseAddress
                        message.msg_controllen = control.count
                        let count = recvmsg(number, &message, 0)
                        if message.msg_controllen < 20 { control[0] = 0 }
                        return count
                    }
                }
            }
        }
        guard let count else { return nil }
        let segment = withUnsafeBytes(of: &control) { segmentSize($0) }
        return DatagramTrain(count: count, segmentSize: segment ?? count, sender: sender)
    }

    private static func segmentSize(_ control: UnsafeRawBufferPointer) -> Int? {
        // cmsg(3) on 64-bit Linux: length, level, type, data.
        let length = control.load(as: Int.self)
        let level = control.load(fromByteOffset: 8, as: Int32.self)
        let kind = control.load(fromByteOffset: 12, as: Int32.self)
        guard length >= 20, level == Int32(IPPROTO_UDP), kind == Int32(CLINUX_UDP_GRO) else {
            return nil
        }
        let size = Int(control.load(fromByteOffset: 16, as: Int32.self))
        return size > 0 ? size : nil
    }

    /// Sends several datagrams of equal length, the last one at most as long, in one call.
    ///
    /// - Parameters:
    ///   - descriptor: A UDP socket.
    ///   - octets: All of them, one behind the other; at most 64 datagrams and 65,507 octets.
    ///   - segmentSize: Octets of each but the last.
    ///   - address: Where to.
    /// - Returns: Octets sent; nil when the queue is full.
    /// - Throws: `SystemError`: EINVAL and EIO where the path cannot take them so.
    static func sendTrain(
        _ descriptor: borrowing OwnedDescriptor,
        _ octets: UnsafeRawBufferPointer,
        segmentSize: Int,
        to address: SocketAddress
    ) throws(SystemError) -> Int? {
        let number = descriptor.number
        var control = (UInt64(0), UInt64(0), UInt64(0))
        // Sound: cmsg(3) on 64-bit Linux: length, level, type, data.
        withUnsafeMutableBytes(of: &control) { control in
            control.storeBytes(of: 18, as: Int.self)
            control.storeBytes(of: Int32(IPPROTO_UDP), toByteOffset: 8, as: Int32.self)
            control.storeBytes(of: Int32(CLINUX_UDP_SEGMENT), toByteOffset: 12, as: Int32.self)
            let size = UInt16(truncatingIfNeeded: segmentSize)
            control.storeBytes(of: size, toByteOffset: 16, as: UInt16.self)
        }
        var part = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: octets.baseAddress),
            iov_len: octets.count
        )
        // Sound: every pointer in the message is good until sendmsg returns, which only reads.
        return try attempt("sendmsg") {
            address.withPointer { name, nameLength in
                withUnsafeMutableBytes(of: &control) { control in
                    withUnsafeMutablePointer(to: &part) { part in
                        var message = msghdr()
                        message.msg_name = UnsafeMutableRawPointer(mutating: name)
                        message.msg_namelen = nameLength
                        message.msg_iov = part
                        message.msg_iovlen = 1
                        message.msg_control = control.baseAddress
                        message.msg_controllen = controlLength
                        return sendmsg(number, &message, Int32(MSG_NOSIGNAL))
                    }
                }
            }
        }
    }
}
