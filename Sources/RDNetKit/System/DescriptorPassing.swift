internal import CLinux
internal import Glibc

/// Passes descriptors between processes over a unix socket.
///
/// See unix(7), SCM_RIGHTS.
enum DescriptorPassing {
    /// Size of a control message with one descriptor: a header of 16 bytes, an int, padding.
    private static let controlLength = 24

    /// Sends a descriptor with one byte.
    ///
    /// - Parameters:
    ///   - number: The descriptor, which stays open here.
    ///   - socket: A connected unix stream.
    /// - Throws: `SystemError`.
    static func send(
        _ number: Int32,
        over socket: borrowing OwnedDescriptor
    ) throws(SystemError) {
        var (control, octets): ([UInt8], [UInt8]) = (control(with: number), [0])
        let target = socket.number
        try exchange(&control, &octets) { message in
            sendmsg(target, message, Int32(MSG_NOSIGNAL))
        }
    }

    /// A packet and the descriptor that came with it.
    struct Packet: ~Copyable {
        var octets: [UInt8]
        var descriptor: OwnedDescriptor?
    }

    /// Sends a descriptor with the caller's bytes.
    ///
    /// - Parameters:
    ///   - number: The descriptor, which stays open here.
    ///   - octets: One packet; not empty.
    ///   - socket: A connected unix socket.
    /// - Throws: `SystemError`: EAGAIN if the socket is full.
    static func send(
        _ number: Int32,
        with octets: [UInt8],
        over socket: borrowing OwnedDescriptor
    ) throws(SystemError) {
        var (control, octets) = (control(with: number), octets)
        let target = socket.number
        try exchange(&control, &octets) { message in
            sendmsg(target, message, Int32(MSG_NOSIGNAL))
        }
    }

    /// Receives a packet; its descriptor is close-on-exec.
    ///
    /// - Parameters:
    ///   - socket: A connected unix packet socket.
    ///   - limit: The number of bytes after which the packet is cut.
    /// - Returns: The packet, empty if the other end has closed the connection; nil if none waits.
    /// - Throws: `SystemError`.
    static func receivePacket(
        over socket: borrowing OwnedDescriptor,
        upTo limit: Int = 64
    ) throws(SystemError) -> Packet? {
        var control = [UInt8](repeating: 0, count: controlLength)
        var octets = [UInt8](repeating: 0, count: limit)
        let source = socket.number
        var received = 0
        do {
            let count = try exchange(&control, &octets) { message in
                let count = recvmsg(source, message, Int32(MSG_CMSG_CLOEXEC))
                received = Int(message.pointee.msg_controllen)
                return count
            }
            return Packet(
                octets: Array(octets[..<count]),
                descriptor: descriptor(in: control, received)
            )
        } catch {
            if error.errno == EAGAIN { return nil }
            throw error
        }
    }

    /// Receives a descriptor, close-on-exec.
    ///
    /// - Parameter socket: A connected unix stream.
    /// - Returns: The descriptor; nil if the other end has closed the connection, or sent none.
    /// - Throws: `SystemError`.
    static func receive(
        over socket: borrowing OwnedDescriptor
    ) throws(SystemError) -> OwnedDescriptor? {
        var control = [UInt8](repeating: 0, count: controlLength)
        let source = socket.number
        var received = 0
        var octets: [UInt8] = [0]
        try exchange(&control, &octets) { message in
            let count = recvmsg(source, message, Int32(MSG_CMSG_CLOEXEC))
            received = Int(message.pointee.msg_controllen)
            return count
        }
        return descriptor(in: control, received)
    }

    /// Creates a control message with one descriptor.
    private static func control(with number: Int32) -> [UInt8] {
        var control = [UInt8](repeating: 0, count: controlLength)
        // Sound: the layout is that of cmsg(3) on 64-bit Linux: length, level, type, data.
        control.withUnsafeMutableBytes { octets in
            octets.storeBytes(of: 16 + 4, as: Int.self)
            octets.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
            octets.storeBytes(of: 1 /* SCM_RIGHTS */, toByteOffset: 12, as: Int32.self)
            octets.storeBytes(of: number, toByteOffset: 16, as: Int32.self)
        }
        return control
    }

    /// Returns the descriptor in a control message from the kernel; nil if it has none.
    private static func descriptor(in control: [UInt8], _ received: Int) -> OwnedDescriptor? {
        guard received >= 20 else { return nil }
        // Sound: the length was checked, and the layout is cmsg(3)'s.
        let (level, kind, number) = control.withUnsafeBytes { octets in
            (
                octets.load(fromByteOffset: 8, as: Int32.self),
                octets.load(fromByteOffset: 12, as: Int32.self),
                octets.load(fromByteOffset: 16, as: Int32.self)
            )
        }
        guard level == SOL_SOCKET, kind == 1, number >= 0 else { return nil }
        return OwnedDescriptor(adopting: number)
    }

    @discardableResult
    private static func exchange(
        _ control: inout [UInt8],
        _ octets: inout [UInt8],
        _ call: (UnsafeMutablePointer<msghdr>) -> Int
    ) throws(SystemError) -> Int {
        let length = control.count
        // Sound: every pointer in the message is valid until the call returns.
        let outcome: Result<Int, SystemError> = control.withUnsafeMutableBytes { control in
            octets.withUnsafeMutableBytes { octets in
                var part = iovec(iov_base: octets.baseAddress, iov_len: octets.count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = length
                    do throws(SystemError) {
                        return .success(try systemCall("pass a descriptor") { call(&message) })
                    } catch {
                        return .failure(error)
                    }
                }
            }
        }
        return try outcome.get()
    }
}
