internal import CLinux
internal import Glibc

/// A received datagram with control messages.
struct SocketMessage {
    /// The number of bytes in the datagram.
    var count: Int
    var sender: SocketAddress
    /// The number of bytes in the control messages.
    var controlCount: Int
}

/// Datagrams with control messages. See recvmsg(2), sendmsg(2).
extension Socket {
    /// Receives one datagram and its control messages.
    ///
    /// - Parameters:
    ///   - number: The socket's descriptor.
    ///   - buffer: Room for the datagram.
    ///   - control: Room for control messages, aligned like integers.
    ///   - flags: Flags such as MSG_ERRQUEUE.
    /// - Returns: The datagram; nil when none is waiting.
    /// - Throws: `SystemError`.
    static func receiveMessage(
        _ number: Int32,
        into buffer: UnsafeMutableRawBufferPointer,
        control: UnsafeMutableRawBufferPointer,
        flags: Int32 = 0
    ) throws(SystemError) -> SocketMessage? {
        var sender = SocketAddress()
        var controlCount = 0
        var part = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
        // Sound: every pointer in the message is valid until recvmsg returns.
        let count = try attempt("recvmsg") {
            sender.withMutablePointer { name, nameLength in
                withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_name = UnsafeMutableRawPointer(name)
                    message.msg_namelen = nameLength.pointee
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    let count = recvmsg(number, &message, flags)
                    nameLength.pointee = message.msg_namelen
                    controlCount = message.msg_controllen
                    return count
                }
            }
        }
        return count.map { SocketMessage(count: $0, sender: sender, controlCount: controlCount) }
    }

    /// Sends datagrams with control messages.
    ///
    /// - Parameters:
    ///   - number: The socket's descriptor.
    ///   - octets: One datagram, or as many as the control messages specify.
    ///   - address: The receiver.
    ///   - control: Complete control messages.
    /// - Returns: The number of bytes sent; nil when the queue is full.
    /// - Throws: `SystemError`.
    static func sendMessage(
        _ number: Int32,
        _ octets: UnsafeRawBufferPointer,
        to address: SocketAddress,
        control: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> Int? {
        var part = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: octets.baseAddress),
            iov_len: octets.count
        )
        // Sound: every pointer in the message is valid until sendmsg returns, and sendmsg only
        // reads.
        return try attempt("sendmsg") {
            address.withPointer { name, nameLength in
                withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_name = UnsafeMutableRawPointer(mutating: name)
                    message.msg_namelen = nameLength
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    return sendmsg(number, &message, Int32(MSG_NOSIGNAL))
                }
            }
        }
    }
}

/// The layout of control messages on 64-bit Linux: length, level, type, data, padding to eight
/// bytes.
///
/// See cmsg(3).
enum ControlMessage {
    static let headerLength = 16

    /// The size of a message with its padding, in bytes.
    static func space(_ dataCount: Int) -> Int { headerLength + (dataCount + 7) & ~7 }

    /// The data of the first message of a type, aligned to eight bytes; nil when none matches.
    static func data(
        _ level: Int32,
        _ kind: Int32,
        in messages: UnsafeRawBufferPointer
    ) -> UnsafeRawBufferPointer? {
        var start = 0
        while start + headerLength <= messages.count {
            let length = messages.load(fromByteOffset: start, as: Int.self)
            guard length >= headerLength, length <= messages.count - start else { return nil }
            if messages.load(fromByteOffset: start + 8, as: Int32.self) == level,
                messages.load(fromByteOffset: start + 12, as: Int32.self) == kind
            {
                let data = (start + headerLength)..<(start + length)
                return UnsafeRawBufferPointer(rebasing: messages[data])
            }
            start += (length + 7) & ~7
        }
        return nil
    }

    /// Writes a message's header.
    ///
    /// - Parameters:
    ///   - level: The protocol, such as IPPROTO_IP.
    ///   - kind: The message type within the protocol.
    ///   - dataCount: The number of data bytes, which the caller writes.
    ///   - room: At least `space(dataCount)` bytes.
    static func writeHeader(
        _ level: Int32,
        _ kind: Int32,
        dataCount: Int,
        to room: UnsafeMutableRawBufferPointer
    ) {
        room.storeBytes(of: headerLength + dataCount, as: Int.self)
        room.storeBytes(of: level, toByteOffset: 8, as: Int32.self)
        room.storeBytes(of: kind, toByteOffset: 12, as: Int32.self)
    }
}
