import CLinux
import Glibc

/// The parameters of a datagram exchange; every datagram starts with them, in host byte order.
struct DatagramOrder {
    static let length = 48

    enum Kind: UInt64 { case upload, download, payload, end }

    var kind: Kind
    /// The payload's number, or a count.
    var number: UInt64 = 0
    var milliseconds: UInt64 = 0
    /// The rate; 0 means unlimited.
    var megabits: UInt64 = 0
    /// The size of a payload datagram in bytes.
    var octets: UInt64 = 1_400
    /// The number of datagrams that the sender passes to its kernel at once (UDP_SEGMENT).
    var atOnce: UInt64 = 1

    init(_ kind: Kind, number: UInt64 = 0) {
        self.kind = kind
        self.number = number
    }

    init?(_ octets: UnsafeRawBufferPointer) {
        guard octets.count >= Self.length else { return nil }
        let fields = (0..<6).map { octets.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
        guard let kind = Kind(rawValue: fields[0]) else { return nil }
        self.init(kind, number: fields[1])
        (milliseconds, megabits) = (fields[2], fields[3])
        self.octets = min(max(fields[4], UInt64(Self.length)), 65_507)
        atOnce = min(max(fields[5], 1), 65_507 / self.octets)
    }

    func write(to octets: UnsafeMutableRawBufferPointer) {
        octets.storeBytes(of: kind.rawValue, toByteOffset: 0, as: UInt64.self)
        octets.storeBytes(of: number, toByteOffset: 8, as: UInt64.self)
        octets.storeBytes(of: milliseconds, toByteOffset: 16, as: UInt64.self)
        octets.storeBytes(of: megabits, toByteOffset: 24, as: UInt64.self)
        octets.storeBytes(of: self.octets, toByteOffset: 32, as: UInt64.self)
        octets.storeBytes(of: atOnce, toByteOffset: 40, as: UInt64.self)
    }
}

/// The payload received in one exchange.
struct DatagramCount {
    var received: UInt64 = 0
    /// Datagrams whose content differs from what was sent.
    var wrong: UInt64 = 0
    /// The number sent; nil if the end was not received.
    var sent: UInt64?
}

/// A datagram socket that receives many datagrams per system call.
struct DatagramChannel {
    private static let batch = 32
    private static let room = 1 << 16

    let descriptor: Int32
    private let input: UnsafeMutableRawBufferPointer
    private let messages: UnsafeMutablePointer<clinux_mmsghdr>
    private let pieces: UnsafeMutablePointer<iovec>

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 4 << 20)
        input = .allocate(byteCount: Self.batch * Self.room, alignment: 64)
        messages = .allocate(capacity: Self.batch)
        pieces = .allocate(capacity: Self.batch)
        for index in 0..<Self.batch {
            (pieces + index).initialize(
                to: iovec(
                    iov_base: input.baseAddress.map { $0 + index * Self.room },
                    iov_len: Self.room
                )
            )
            var message = clinux_mmsghdr()
            message.msg_hdr.msg_iov = pieces + index
            message.msg_hdr.msg_iovlen = 1
            (messages + index).initialize(to: message)
        }
    }

    /// Closes the socket.
    func end() {
        close(descriptor)
        input.deallocate()
        messages.deallocate()
        pieces.deallocate()
    }

    // MARK: Receiving

    /// Waits for datagrams and passes the available ones to `take`.
    ///
    /// - Returns: Whether any arrived in time.
    func receive(milliseconds: Int32, _ take: (UnsafeRawBufferPointer) -> Void) -> Bool {
        var count = recvmmsg(descriptor, messages, UInt32(Self.batch), 0, nil)
        if count <= 0 {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if check("poll", { poll(&entry, 1, milliseconds) }) == 0 { return false }
            count = recvmmsg(descriptor, messages, UInt32(Self.batch), 0, nil)
        }
        for index in 0..<max(Int(count), 0) {
            let start = index * Self.room
            let length = Int(messages[index].msg_len)
            take(UnsafeRawBufferPointer(rebasing: input[start..<(start + length)]))
        }
        return true
    }

    /// Returns the first order in the next datagrams, if one arrives in time.
    func receiveOrder(milliseconds: Int32) -> DatagramOrder? {
        var order: DatagramOrder?
        _ = receive(milliseconds: milliseconds) { order = order ?? DatagramOrder($0) }
        return order
    }

    /// Counts payload until its end is announced or nothing arrives for two seconds.
    func countPayload() -> DatagramCount {
        var count = DatagramCount()
        while count.sent == nil {
            let hasCome = receive(milliseconds: 2_000) { octets in
                guard let order = DatagramOrder(octets) else { return }
                if order.kind == .end { count.sent = order.number }
                guard order.kind == .payload else { return }
                count.received += 1
                let content = UnsafeRawBufferPointer(rebasing: octets[DatagramOrder.length...])
                if octets.count != order.octets
                    || !StreamPattern.matches(content, at: Int(order.number))
                {
                    count.wrong += 1
                }
            }
            if !hasCome { return count }
        }
        return count
    }

    // MARK: Sending

    func send(_ order: DatagramOrder) {
        withUnsafeTemporaryAllocation(byteCount: DatagramOrder.length, alignment: 8) { room in
            order.write(to: room)
            _ = CLinux.send(descriptor, room.baseAddress, room.count, 0)
        }
    }

    /// Sends payload at a rate for the ordered time; returns the number of datagrams.
    ///
    /// A rate-limited sender sends what is due, then sleeps for at least 50 µs, so that it never
    /// spins.
    func sendPayload(_ order: DatagramOrder) -> UInt64 {
        let (length, atOnce) = (Int(order.octets), Int(order.atOnce))
        if atOnce > 1 {
            setOption(descriptor, Int32(IPPROTO_UDP), Int32(CLINUX_UDP_SEGMENT), Int32(length))
        }
        defer {
            if atOnce > 1 {
                setOption(descriptor, Int32(IPPROTO_UDP), Int32(CLINUX_UDP_SEGMENT), 0)
            }
        }
        let output = UnsafeMutableRawBufferPointer.allocate(
            byteCount: length * atOnce,
            alignment: 64
        )
        defer { output.deallocate() }
        let start = nanoseconds()
        let end = start + order.milliseconds * 1_000_000
        let bits = UInt64(length * atOnce * 8)
        var number: UInt64 = 0
        while true {
            let now = nanoseconds()
            if now >= end { return number }
            let due =
                order.megabits == 0 ? 0 : number / order.atOnce * bits * 1_000 / order.megabits
            if start + due > now {
                sleep(nanoseconds: min(max(start + due - now, 50_000), end - now))
                continue
            }
            fill(output, order, from: number)
            if CLinux.send(descriptor, output.baseAddress, output.count, 0) == output.count {
                number += order.atOnce
            } else {
                RequestResponse.waitFor(descriptor, POLLOUT)
            }
        }
    }

    private func fill(
        _ output: UnsafeMutableRawBufferPointer,
        _ order: DatagramOrder,
        from number: UInt64
    ) {
        let length = Int(order.octets)
        var payload = order
        payload.kind = .payload
        for index in 0..<Int(order.atOnce) {
            payload.number = number + UInt64(index)
            let datagram = UnsafeMutableRawBufferPointer(
                rebasing: output[(index * length)..<((index + 1) * length)]
            )
            payload.write(to: datagram)
            let content = UnsafeMutableRawBufferPointer(
                rebasing: datagram[DatagramOrder.length...]
            )
            StreamPattern.lend(at: Int(payload.number), content.count) {
                content.copyMemory(from: $0)
            }
        }
    }

    private func sleep(nanoseconds: UInt64) {
        var gap = timespec(tv_sec: 0, tv_nsec: Int(min(nanoseconds, 10_000_000)))
        nanosleep(&gap, nil)
    }
}
