import CLinux
import Glibc

/// Bulk data over any number of connections, verified on arrival.
///
/// A connection begins with an order of 24 bytes: the number of bytes that the server sends, the
/// number that follow the order, and the offset at which both streams start in the pattern. Once it
/// has received everything, the server sends one more byte to notify the client.
private struct BulkStream {
    static let orderLength = 24

    let descriptor: Int32
    /// The offset in the pattern at which both streams start.
    var seed = 0
    var toSend = 0
    var toReceive = 0
    private var sent = 0
    private var received = 0

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    var hasSentAll: Bool { sent == toSend }
    var hasReceivedAll: Bool { received == toReceive }

    /// Sends part of the remaining data; returns false if the connection is closed.
    mutating func push() -> Bool {
        guard !hasSentAll else { return true }
        let count = StreamPattern.lend(at: seed + sent, toSend - sent) {
            send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        sent += max(count, 0)
        return count > 0 || errno == EAGAIN
    }

    /// Receives available data; returns false if the connection is closed or the data is wrong.
    mutating func pull(_ buffer: UnsafeMutableRawBufferPointer) -> Bool {
        let room = min(toReceive - received, buffer.count)
        guard room > 0 else { return true }
        let count = recv(descriptor, buffer.baseAddress, room, 0)
        guard count > 0 else { return count < 0 && errno == EAGAIN }
        let octets = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        guard StreamPattern.matches(octets, at: seed + received) else {
            say(
                "rdnet-load: other octets than were sent at \(received)\n",
                to: STDERR_FILENO
            )
            return false
        }
        received += count
        return true
    }
}

/// Serves bulk transfers until the process is killed.
struct BulkServer: StreamServer {
    let listener: Int32
    var readiness = Readiness()
    private var streams: [Int32: BulkStream] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: StreamPattern.longest,
        alignment: 64
    )

    init(port: UInt16) {
        listener = listenSocket(port: port)
        readiness.watch(listener, isNew: true)
    }

    mutating func accepted(_ descriptor: Int32) {
        streams[descriptor] = BulkStream(descriptor)
    }

    mutating func serve(_ descriptor: Int32) {
        guard var stream = streams.removeValue(forKey: descriptor) else { return }
        let isNew = stream.toReceive == 0 && stream.toSend == 0
        let wasSending = !stream.hasSentAll
        let isAlive = isNew ? takeOrder(&stream) : advance(&stream)
        guard isAlive else {
            close(descriptor)
            return
        }
        if wasSending == stream.hasSentAll {
            readiness.watch(descriptor, writing: !stream.hasSentAll, isNew: false)
        }
        streams[descriptor] = stream
    }

    private func takeOrder(_ stream: inout BulkStream) -> Bool {
        var order = [Int](repeating: 0, count: 3)
        let count = recv(stream.descriptor, &order, BulkStream.orderLength, 0)
        if count < 0 { return errno == EAGAIN }
        guard count == BulkStream.orderLength else { return false }
        (stream.toSend, stream.toReceive, stream.seed) = (order[0], order[1], order[2])
        if stream.toReceive == 0 { stream.toSend += 1 }
        return true
    }

    private func advance(_ stream: inout BulkStream) -> Bool {
        if stream.hasReceivedAll, stream.hasSentAll {
            // The transfer is complete; only the end can follow.
            return false
        }
        if !stream.hasReceivedAll {
            guard stream.pull(buffer) else { return false }
            if stream.hasReceivedAll { stream.toSend += 1 }
        }
        return stream.push()
    }
}

/// The client's side of a bulk transfer.
struct BulkTransfer {
    private var readiness = Readiness()
    private var streams: [Int32: BulkStream] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: StreamPattern.longest,
        alignment: 64
    )

    /// Transfers data over several connections and prints the throughput.
    ///
    /// `octets` is the total. The clock starts once all connections are established.
    mutating func run(_ peer: Peer, isUpload: Bool, connections: Int, octets: Int) {
        let descriptors = ConnectionSet.connect(peer, count: connections)
        let share = max(octets / connections, 1)
        let start = nanoseconds()
        for (number, descriptor) in descriptors.enumerated() {
            begin(descriptor, isUpload ? (0, share) : (share, 0), seed: number * 7_919)
        }
        var last = start
        while !streams.isEmpty {
            let ready = readiness.wait(milliseconds: 100)
            if !ready.isEmpty { last = nanoseconds() }
            if nanoseconds() - last > 60_000_000_000 { fail("no progress for a minute") }
            for descriptor in ready { advance(descriptor) }
        }
        let elapsed = max(nanoseconds() - start, 1)
        for descriptor in descriptors { close(descriptor) }
        let total = share * connections
        report([
            "octets": total, "ms": Int(elapsed / 1_000_000),
            "mbit": Int(Double(total) * 8_000 / Double(elapsed)),
        ])
    }

    private mutating func begin(
        _ descriptor: Int32,
        _ share: (download: Int, upload: Int),
        seed: Int
    ) {
        var stream = BulkStream(descriptor)
        (stream.seed, stream.toSend, stream.toReceive) = (seed, share.upload, share.download + 1)
        let order = [share.download, share.upload, seed]
        let count = send(descriptor, order, BulkStream.orderLength, Int32(MSG_NOSIGNAL))
        guard count == BulkStream.orderLength else { fail("the order was not taken") }
        readiness.watch(descriptor, writing: !stream.hasSentAll, isNew: true)
        streams[descriptor] = stream
    }

    private mutating func advance(_ descriptor: Int32) {
        guard var stream = streams.removeValue(forKey: descriptor) else { return }
        let wasSending = !stream.hasSentAll
        guard stream.push(), stream.pull(buffer) else { fail("a connection ended too early") }
        if wasSending, stream.hasSentAll { readiness.watch(descriptor, isNew: false) }
        if stream.hasSentAll, stream.hasReceivedAll {
            readiness.watch(descriptor, reading: false, isNew: false)
        } else {
            streams[descriptor] = stream
        }
    }
}
