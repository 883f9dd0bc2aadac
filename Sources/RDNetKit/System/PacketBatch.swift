internal import CLinux
internal import Glibc

/// Packets that one system call took from a socket: at most `maximumCount`, each in a slot of its
/// own.
///
/// The slots are touched as far as packets are long, so small packets cost little memory. See
/// recvmmsg(2).
struct ReceivedPackets: ~Copyable {
    static let maximumCount = 32

    private let slotLength: Int
    private let memory: UnsafeMutableRawBufferPointer
    private let senders: UnsafeMutablePointer<sockaddr_storage>
    private let parts: UnsafeMutablePointer<iovec>
    private let messages: UnsafeMutablePointer<clinux_mmsghdr>

    /// Makes empty slots.
    ///
    /// - Parameter maximumLength: The longest packet that must arrive whole, in bytes.
    init(maximumLength: Int) {
        // Slots begin at multiples of 64.
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

    /// Takes what waits.
    ///
    /// - Parameter descriptor: A socket of packets or datagrams.
    /// - Returns: How many packets; 0 when none waits.
    /// - Throws: `SystemError`.
    mutating func receive(from descriptor: borrowing OwnedDescriptor) throws(SystemError) -> Int {
        for index in 0..<Self.maximumCount {
            messages[index].msg_hdr.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
        }
        let (number, messages) = (descriptor.number, messages)
        // Sound: every pointer in the messages is good as long as this value.
        let count = try attempt("recvmmsg") {
            recvmmsg(number, messages, UInt32(Self.maximumCount), 0, nil)
        }
        return Int(count ?? 0)
    }

    /// One packet, good until the next `receive`; nil when it was longer than its slot.
    func packet(_ index: Int) -> UnsafeRawBufferPointer? {
        guard messages[index].msg_hdr.msg_flags & Int32(MSG_TRUNC) == 0 else {
            return nil
        }
        let start = index * slotLength
        let end = start + Int(messages[index].msg_len)
        return UnsafeRawBufferPointer(rebasing: memory[start..<end])
    }

    /// Where a packet came from.
    func sender(_ index: Int) -> SocketAddress {
        SocketAddress(senders[index], length: messages[index].msg_hdr.msg_namelen)
    }
}

/// Packets that leave in one system call, from where they lie.
///
/// See sendmmsg(2).
struct OutgoingPackets: ~Copyable {
    static let maximumCount = 64

    /// How many there are.
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

    /// Whether there is no room for another.
    var isFull: Bool { count == Self.maximumCount }

    mutating func removeAll() {
        count = 0
    }

    /// Adds a packet.
    ///
    /// - Parameter octets: Must stay where they are until `send`.
    mutating func append(_ octets: UnsafeRawBufferPointer) {
        precondition(!isFull, "there is room for \(Self.maximumCount) packets")
        let address = UnsafeMutableRawPointer(mutating: octets.baseAddress)
        parts[count] = iovec(iov_base: address, iov_len: octets.count)
        count += 1
    }

    /// Sends all, in order, as far as the receiver takes them.
    ///
    /// - Parameters:
    ///   - descriptor: A socket of packets or datagrams.
    ///   - address: The receiver; nil for a connected socket's peer.
    /// - Returns: How many were taken; nil when none was and the receiver takes none now.
    /// - Throws: `SystemError` of the first packet, when that fails.
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
        // Sound: every pointer in the messages is good until sendmmsg returns, which only reads.
        let taken = try attempt("sendmmsg") {
            sendmmsg(number, messages, count, Int32(MSG_NOSIGNAL))
        }
        return taken.map { Int($0) }
    }
}

extension SystemError {
    /// Whether one packet was refused for its own sake, or for want of memory, which says nothing
    /// of the next one.
    ///
    /// See send(2), unix(7).
    var concernsOnePacket: Bool { [EMSGSIZE, ENOBUFS, ENOMEM].contains(errno) }
}
