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
        var control = (UInt64(0), UInt64(0), UInt64(0))
        return try withUnsafeMutableBytes(of: &control) { (control) throws(SystemError) in
            guard let message = try receiveMessage(number, into: buffer, control: control) else {
                return nil
            }
            let told = UnsafeRawBufferPointer(rebasing: control[..<message.controlCount])
            return DatagramTrain(
                count: message.count,
                segmentSize: segmentSize(told) ?? message.count,
                sender: message.sender
            )
        }
    }

    private static func segmentSize(_ control: UnsafeRawBufferPointer) -> Int? {
        let (level, kind) = (Int32(IPPROTO_UDP), Int32(CLINUX_UDP_GRO))
        guard let told = ControlMessage.data(level, kind, in: control), told.count >= 4 else {
            return nil
        }
        let size = Int(told.load(as: Int32.self))
        return size > 0 ? size : nil
    }

    /// Sends several datagrams of equal length, the last one at most as long, in one call.
    ///
    /// - Parameters:
    ///   - descriptor: A UDP socket.
    ///   - octets: All of them, one behind the other; at most 64 datagrams and 65,507 octets.
    ///   - segmentSize: The length of each but the last, in bytes.
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
        return try withUnsafeMutableBytes(of: &control) { (control) throws(SystemError) in
            let (level, kind) = (Int32(IPPROTO_UDP), Int32(CLINUX_UDP_SEGMENT))
            ControlMessage.writeHeader(level, kind, dataCount: 2, to: control)
            let size = UInt16(truncatingIfNeeded: segmentSize)
            control.storeBytes(of: size, toByteOffset: ControlMessage.headerLength, as: UInt16.self)
            return try sendMessage(number, octets, to: address, control: control)
        }
    }
}
