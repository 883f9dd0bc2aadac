import CLinux
import Glibc

/// Numbered datagrams in one direction, and a count of those received.
///
/// An exchange begins with an order: which side sends, for how long, at what rate and in what
/// pieces. The receiver counts and verifies the datagrams. `end` is repeated until it is answered.
struct DatagramLoad {
    let peer: Peer
    var isUpload: Bool
    var seconds: Double
    /// The datagrams' size, and the number that the sender passes to its kernel at once.
    var shape: (octets: Int, atOnce: Int) = (1_400, 1)

    /// The result of one exchange.
    private struct Outcome {
        var count: DatagramCount
        var megabits: Double
        var sent: UInt64 { count.sent ?? 0 }
        var lost: UInt64 { sent > count.received ? sent - count.received : 0 }
        /// Whether fewer than one datagram in a thousand was lost.
        var isGood: Bool { sent > 0 && lost * 1_000 < sent }
    }

    // MARK: Client

    /// Sends at a rate (0: unlimited) and prints the result.
    func run(megabits: UInt64) {
        let outcome = converse(megabits: megabits)
        report([
            "sent": Int(outcome.sent), "received": Int(outcome.count.received),
            "lost": Int(outcome.lost), "wrong": Int(outcome.count.wrong),
            "mbit": Int(outcome.megabits),
        ])
    }

    /// Prints the highest rate that loses fewer than one datagram in a thousand.
    ///
    /// A bisection between 1/16 and all of an unpaced sender's rate, with six steps on a
    /// logarithmic scale (the last step is 4 %). A rate fails only if two consecutive exchanges
    /// lose too much: one may have collided with another program.
    func searchLossless() {
        let unpaced = converse(megabits: 0)
        var best = unpaced.isGood ? unpaced.megabits : 0
        var high = unpaced.megabits / Double(max(unpaced.count.received, 1)) * Double(unpaced.sent)
        var low = high / 16
        for _ in 0..<6 where !unpaced.isGood {
            let rate = (low * high).squareRoot()
            var outcome = converse(megabits: UInt64(rate))
            if !outcome.isGood { outcome = converse(megabits: UInt64(rate)) }
            if outcome.isGood {
                best = max(best, outcome.megabits)
                low = rate
            } else {
                high = rate
            }
        }
        report(["mbit": Int(best)])
    }

    private func converse(megabits: UInt64) -> Outcome {
        let channel = DatagramChannel(makeSocket(SOCK_DGRAM))
        defer { channel.end() }
        check("connect") { peer.lend { connect(channel.descriptor, $0, $1) } }
        var order = DatagramOrder(isUpload ? .upload : .download)
        (order.milliseconds, order.megabits) = (UInt64(seconds * 1_000), megabits)
        (order.octets, order.atOnce) = (UInt64(shape.octets), UInt64(shape.atOnce))
        let count = isUpload ? upload(channel, order) : download(channel, order)
        let bits = Double(count.received) * Double(shape.octets) * 8
        return Outcome(count: count, megabits: bits / seconds / 1e6)
    }

    private func upload(_ channel: DatagramChannel, _ order: DatagramOrder) -> DatagramCount {
        // Repeats the order, because the server may still be busy with the previous exchange.
        var isHeard = false
        for _ in 0..<50 where !isHeard {
            channel.send(order)
            isHeard = channel.receiveOrder(milliseconds: 100)?.kind == .upload
        }
        if !isHeard { fail("the server does not answer") }
        let sent = channel.sendPayload(order)
        for _ in 0..<50 {
            channel.send(DatagramOrder(.end, number: sent))
            guard let answer = channel.receiveOrder(milliseconds: 200), answer.kind == .end else {
                continue
            }
            return DatagramCount(received: answer.number, wrong: answer.milliseconds, sent: sent)
        }
        fail("the server does not say how much came")
    }

    private func download(_ channel: DatagramChannel, _ order: DatagramOrder) -> DatagramCount {
        for _ in 0..<3 {
            channel.send(order)
            let count = channel.countPayload()
            if count.sent != nil {
                channel.send(DatagramOrder(.end))
                return count
            }
            if count.received > 0 { fail("the end did not come: \(count.received) datagrams did") }
        }
        fail("the server does not answer")
    }

    // MARK: Server

    static func serve(port: UInt16) -> Never {
        while true {
            let descriptor = makeSocket(SOCK_DGRAM)
            check("bind") { Peer.any(port: port).lend { bind(descriptor, $0, $1) } }
            let channel = DatagramChannel(descriptor)
            serveOne(channel)
            channel.end()
        }
    }

    /// Waits for a client, connects to it and executes its order.
    private static func serveOne(_ channel: DatagramChannel) {
        RequestResponse.waitForever(channel.descriptor)
        guard let order = connectToClient(channel.descriptor) else { return }
        switch order.kind {
        case .upload:
            channel.send(order)
            let count = channel.countPayload()
            var answer = DatagramOrder(.end, number: count.received)
            answer.milliseconds = count.wrong
            for _ in 0..<5 { channel.send(answer) }
        case .download:
            let sent = channel.sendPayload(order)
            for _ in 0..<50 {
                channel.send(DatagramOrder(.end, number: sent))
                if channel.receiveOrder(milliseconds: 100)?.kind == .end { return }
            }
        case .payload, .end:
            return
        }
    }

    private static func connectToClient(_ descriptor: Int32) -> DatagramOrder? {
        var client = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var octets = [UInt8](repeating: 0, count: 2_048)
        // Sound: recvfrom(2) gets the storage's own length, and connect(2) the length that it
        // returned.
        let count = withUnsafeMutableBytes(of: &client) { bytes -> Int in
            let address = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            let count = recvfrom(descriptor, &octets, octets.count, 0, address, &length)
            if count > 0 { check("connect") { connect(descriptor, address, length) } }
            return count
        }
        return octets.withUnsafeBytes {
            DatagramOrder(UnsafeRawBufferPointer(rebasing: $0[..<max(count, 0)]))
        }
    }
}
