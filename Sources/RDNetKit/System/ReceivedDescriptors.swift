internal import CLinux
internal import Glibc

/// Descriptors that came over a unix socket and that nobody has taken yet; it closes the rest.
///
/// See unix(7), SCM_RIGHTS.
struct ReceivedDescriptors: ~Copyable {
    /// The number that one message may carry.
    static let maximumCount = 8
    private static let controlLength = ControlMessage.space(maximumCount * 4)

    private var numbers: [Int32] = []

    init() {}

    deinit {
        for number in numbers { _ = close(number) }
    }

    /// How many nobody has taken yet.
    var count: Int { numbers.count }

    /// Gives away the earliest descriptor.
    mutating func takeFirst() -> OwnedDescriptor? {
        numbers.isEmpty ? nil : OwnedDescriptor(adopting: numbers.removeFirst())
    }

    /// Closes those that nobody has taken.
    mutating func removeAll() {
        for number in numbers { _ = close(number) }
        numbers = []
    }

    /// Reads from a stream, with the descriptors that came with the bytes, close-on-exec.
    ///
    /// - Parameters:
    ///   - socket: A connected unix stream that does not block.
    ///   - room: For the bytes.
    /// - Returns: The number of bytes; 0 at the end, nil when none wait.
    /// - Throws: `SystemError`: EMFILE if more descriptors came than fit.
    mutating func receive(
        over socket: borrowing OwnedDescriptor,
        into room: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> Int? {
        let source = socket.number
        var isCut = false
        var received: [Int32] = []
        // Sound: every pointer in the message is valid until recvmsg returns.
        let result: Result<Int?, SystemError> = withUnsafeTemporaryAllocation(
            byteCount: Self.controlLength,
            alignment: 8
        ) { control in
            var part = iovec(iov_base: room.baseAddress, iov_len: room.count)
            return withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = control.count
                do throws(SystemError) {
                    let count = try attempt("recvmsg") {
                        recvmsg(source, &message, Int32(MSG_CMSG_CLOEXEC))
                    }
                    guard count != nil else { return .success(nil) }
                    isCut = message.msg_flags & Int32(CLINUX_MSG_CTRUNC) != 0
                    let messages = UnsafeRawBufferPointer(
                        rebasing: control[..<min(control.count, message.msg_controllen)]
                    )
                    let rights = ControlMessage.data(SOL_SOCKET, 1 /* SCM_RIGHTS */, in: messages)
                    received = rights.map { Array($0.bindMemory(to: Int32.self)) } ?? []
                    return .success(count)
                } catch {
                    return .failure(error)
                }
            }
        }
        numbers += received
        guard !isCut, numbers.count <= Self.maximumCount else { throw .outOfDescriptors }
        return try result.get()
    }
}
