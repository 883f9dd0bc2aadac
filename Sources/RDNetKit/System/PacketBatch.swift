internal import CLinux
internal import Glibc

/// Packets that one system call receives from a socket: at most `maximumCount`, each in its own
/// slot.
///
/// A small packet touches only the start of its slot, so small packets cost little memory. See
/// recvmmsg(2).
struct ReceivedPackets: ~Copyable {
    static let maximumCount = 32

    private let slotLength: Int
    private let memory: UnsafeMutableRawBufferPointer
    private let senders: UnsafeMutablePointer<sockaddr_storage>
    private let parts: UnsafeMutablePointer<iovec>
    private let messages: UnsafeMutablePointer<clinux_mmsghdr>

    /// Creates empty slots.
    ///
    /// - Parameter maximumLength: The length of the longest packet that must arrive whole, in
    ///   bytes.
    init(maximumLength: Int) {
        // Each slot begins at a multiple of 64.
        slotLength = (maximumLength + 63) & ~63
        memory = .allocate(byteCount: Self.maximumCount * slotLength, alignment: 64)
        senders = .allocate(capacity: Self.maximumCount)
        senders.initialize(repeating: sockaddr_storage(), count: Self.maximumCount)
        parts = .allocate(capacity: Self.maximumCount)
        messages = .allocate(capacity: Self.maximumCount)
        for index in 0..<Self.maximumCount {
            let slot = memory.baseAddress.map { $0 + index * slotLength }
            parts[index] = iovec(iov_base: slot, iov_len: maximumLength)
            messages[index] = clinux_mmsghdr()
            messages[index].msg_hdr.msg_iov = parts + index
            messages[index].msg_hdr.msg_iovlen = 1
            messages[index].msg_hdr.msg_name = UnsafeMutableRawPointer(senders + index)
        }
    }

    deinit {
        memory.deallocate()
        senders.deallocate()
        parts.deallocate()
        messages.deallocate()
    }

    /// Receives the waiting packets.
    ///
    /// - Parameter descriptor: A packet or datagram socket.
    /// - Returns: The number of packets; 0 when none is waiting.
    /// - Throws: `SystemError`.
    mutating func receive(from descriptor: borrowing OwnedDescriptor) throws(SystemError) -> Int {
        for index in 0..<Self.maximumCount {
            messages[index].msg_hdr.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
        }
        let (number, messages) = (descriptor.number, messages)
        // Sound: every pointer in the messages is valid as long as this value.
        let count = try attempt("recvmmsg") {
            recvmmsg(number, messages, UInt32(Self.maximumCount), 0, nil)
        }
        return Int(count ?? 0)
    }

    /// One packet, valid until the next `receive`; nil when it exceeded the maximum length.
    func packet(_ index: Int) -> UnsafeRawBufferPointer? {
        guard messages[index].msg_hdr.msg_flags & Int32(MSG_TRUNC) == 0 else {
            return nil
        }
        let start = index * slotLength
        let end = start + Int(messages[index].msg_len)
        return UnsafeRawBufferPointer(rebasing: memory[start..<end])
    }

    /// The sender of a packet.
    func sender(_ index: Int) -> SocketAddress {
        SocketAddress(senders[index], length: messages[index].msg_hdr.msg_namelen)
    }
}

/// Packets that one system call sends, without copying them first.
///
/// See sendmmsg(2).
struct OutgoingPackets: ~Copyable {
    static let maximumCount = 64

    /// The number of packets.
    private(set) var count = 0
    private let parts: UnsafeMutablePointer<iovec>
    private let messages: UnsafeMutablePointer<clinux_mmsghdr>

    init() {
        parts = .allocate(capacity: Self.maximumCount)
        messages = .allocate(capacity: Self.maximumCount)
        for index in 0..<Self.maximumCount {
            messages[index] = clinux_mmsghdr()
            messages[index].msg_hdr.msg_iov = parts + index
            messages[index].msg_hdr.msg_iovlen = 1
        }
    }

    deinit {
        parts.deallocate()
        messages.deallocate()
    }

    /// Whether the batch is full.
    var isFull: Bool { count == Self.maximumCount }

    mutating func removeAll() {
        count = 0
    }

    /// Adds a packet.
    ///
    /// - Parameter octets: The packet; must stay in place until `send`.
    mutating func append(_ octets: UnsafeRawBufferPointer) {
        precondition(!isFull, "there is room for \(Self.maximumCount) packets")
        let address = UnsafeMutableRawPointer(mutating: octets.baseAddress)
        parts[count] = iovec(iov_base: address, iov_len: octets.count)
        count += 1
    }

    /// Sends the packets in order, as many as the receiver accepts.
    ///
    /// - Parameters:
    ///   - descriptor: A packet or datagram socket.
    ///   - address: The receiver; nil for a connected socket's peer.
    /// - Returns: The number of packets sent; nil when the receiver accepts none now.
    /// - Throws: `SystemError` if the first packet fails.
    mutating func send(
        over descriptor: borrowing OwnedDescriptor,
        to address: SocketAddress?
    ) throws(SystemError) -> Int? {
        guard let address else { return try send(descriptor.number, nil, 0) }
        let number = descriptor.number
        let outcome: Result<Int?, SystemError> = address.withPointer { name, length in
            do throws(SystemError) {
                return .success(try send(number, UnsafeMutableRawPointer(mutating: name), length))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private func send(
        _ number: Int32,
        _ name: UnsafeMutableRawPointer?,
        _ nameLength: socklen_t
    ) throws(SystemError) -> Int? {
        for index in 0..<count {
            messages[index].msg_hdr.msg_name = name
            messages[index].msg_hdr.msg_namelen = nameLength
        }
        let (messages, count) = (messages, UInt32(count))
        // Sound: every pointer in the messages is valid until sendmmsg returns, and sendmmsg only
        // reads.
        let taken = try attempt("sendmmsg") {
            sendmmsg(number, messages, count, Int32(MSG_NOSIGNAL))
        }
        return taken.map { Int($0) }
    }
}

extension SystemError {
    /// Whether only one packet failed, for its own reasons or for lack of memory, so the next may
    /// succeed.
    ///
    /// See send(2), unix(7).
    var concernsOnePacket: Bool { [EMSGSIZE, ENOBUFS, ENOMEM].contains(errno) }
}
