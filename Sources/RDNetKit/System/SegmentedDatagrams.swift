internal import CLinux
internal import Glibc

/// Datagrams that the kernel received as one: equal in length except for the last.
struct DatagramTrain {
    /// The total number of bytes; the datagrams are consecutive.
    var count: Int
    /// The length of each datagram except the last, in bytes; `count` for a single datagram.
    var segmentSize: Int
    var sender: SocketAddress
}

/// Several UDP datagrams in one system call. See udp(7), UDP_GRO and UDP_SEGMENT.
extension Socket {
    /// Lets the kernel deliver several datagrams from one sender together; older kernels still
    /// deliver them one by one.
    static func receiveTrains(_ descriptor: borrowing OwnedDescriptor) {
        var enabled: Int32 = 1
        // ENOPROTOOPT before Linux 5.0; this costs only speed.
        _ = setsockopt(
            descriptor.number,
            Int32(IPPROTO_UDP),
            Int32(CLINUX_UDP_GRO),
            &enabled,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }

    /// Receives one datagram, or several from one sender.
    ///
    /// - Parameters:
    ///   - descriptor: A UDP socket.
    ///   - buffer: Room for 64 KiB.
    /// - Returns: The datagrams; nil when none is waiting.
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

    /// Sends several datagrams of equal length in one system call; the last one may be shorter.
    ///
    /// - Parameters:
    ///   - descriptor: A UDP socket.
    ///   - octets: The consecutive datagrams; at most 64 datagrams and 65,507 bytes.
    ///   - segmentSize: The length of each datagram except the last, in bytes.
    ///   - address: The receiver.
    /// - Returns: The number of bytes sent; nil when the queue is full.
    /// - Throws: `SystemError`: EINVAL or EIO when the path does not support segmentation.
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
