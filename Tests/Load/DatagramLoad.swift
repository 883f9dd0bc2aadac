import CLinux
import Glibc

/// Numbered datagrams of 1400 octets in one direction, and how many came.
///
/// A conversation begins with `begin`, whose datagram says who is to send, for how long and how fast. The receiver counts; `end` is
/// repeated until it is answered with the count.
enum DatagramLoad {
    private static let length = 1_400
    private enum Kind: UInt64 { case upload, download, payload, end }

    /// A datagram's first 32 octets, in this machine's order: both ends run on one machine.
    private struct Header {
        var kind: Kind
        /// A payload's number, or a count.
        var number: UInt64 = 0
        var milliseconds: UInt64 = 0
        /// 0 for as fast as it goes.
        var megabits: UInt64 = 0

        init(_ kind: Kind, number: UInt64 = 0) {
            self.kind = kind
            self.number = number
        }

        init?(_ octets: [UInt8], count: Int) {
            guard count >= 32 else { return nil }
            let fields = octets.withUnsafeBytes { bytes in
                (0..<4).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
            }
            guard let kind = Kind(rawValue: fields[0]) else { return nil }
            self.init(kind, number: fields[1])
            (milliseconds, megabits) = (fields[2], fields[3])
        }

        func write(to octets: inout [UInt8]) {
            let fields = [kind.rawValue, number, milliseconds, megabits]
            octets.withUnsafeMutableBytes { bytes in
                for (index, field) in fields.enumerated() {
                    bytes.storeBytes(of: field, toByteOffset: index * 8, as: UInt64.self)
                }
            }
        }
    }

    /// A socket with one buffer; the peer is whoever was connected or has spoken last.
    private struct Channel {
        let descriptor: Int32
        var buffer = [UInt8](repeating: 0, count: 2_048)

        init(_ descriptor: Int32) {
            self.descriptor = descriptor
            setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 4 << 20)
        }

        mutating func receive(milliseconds: Int32) -> Header? {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if check("poll", { poll(&entry, 1, milliseconds) }) == 0 { return nil }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return count < 0 ? nil : Header(buffer, count: count)
        }

        /// Sends payload at a rate until the time is over; how many were sent.
        mutating func sendPayload(_ order: Header) -> UInt64 {
            let start = nanoseconds()
            let end = start + order.milliseconds * 1_000_000
            let gap = order.megabits == 0 ? 0 : UInt64(length * 8) * 1_000 / order.megabits
            var number: UInt64 = 0
            while true {
                let now = nanoseconds()
                if now >= end { return number }
                if start + number * gap > now {
                    wait(until: start + number * gap)
                    continue
                }
                Header(.payload, number: number).write(to: &buffer)
                if CLinux.send(descriptor, buffer, length, 0) == length {
                    number += 1
                } else {
                    RequestResponse.waitFor(descriptor, POLLOUT)
                }
            }
        }

        /// Sleeps when it is worth it.
        private func wait(until time: UInt64) {
            let now = nanoseconds()
            guard time > now + 100_000 else { return }
            var gap = timespec(tv_sec: 0, tv_nsec: Int(min(time - now, 10_000_000)))
            nanosleep(&gap, nil)
        }

        mutating func send(_ header: Header) {
            header.write(to: &buffer)
            CLinux.send(descriptor, buffer, 32, 0)
        }

        /// Counts payload until the end is announced or nothing comes for two seconds.
        mutating func countPayload() -> (received: UInt64, sent: UInt64?) {
            var received: UInt64 = 0
            while let header = receive(milliseconds: 2_000) {
                switch header.kind {
                case .payload: received += 1
                case .end: return (received, header.number)
                case .upload, .download: continue
                }
            }
            return (received, nil)
        }
    }

    // MARK: Client

    static func run(_ peer: Peer, isUpload: Bool, seconds: Double, megabits: UInt64) {
        var channel = Channel(makeSocket(SOCK_DGRAM))
        check("connect") { peer.lend { connect(channel.descriptor, $0, $1) } }
        var order = Header(isUpload ? .upload : .download)
        (order.milliseconds, order.megabits) = (UInt64(seconds * 1_000), megabits)
        channel.send(order)
        let (received, sent) = isUpload ? upload(&channel, order) : download(&channel)
        let rate = Double(received) * Double(length) * 8 / seconds / 1e6
        let lost = sent > received ? sent - received : 0
        report([
            "sent": Int(sent), "received": Int(received), "lost": Int(lost), "mbit": Int(rate),
        ])
    }

    private static func upload(_ channel: inout Channel, _ order: Header) -> (UInt64, UInt64) {
        guard channel.receive(milliseconds: 5_000)?.kind == .upload else {
            fail("the server does not answer")
        }
        let sent = channel.sendPayload(order)
        for _ in 0..<50 {
            channel.send(Header(.end, number: sent))
            if let answer = channel.receive(milliseconds: 200), answer.kind == .end {
                return (answer.number, sent)
            }
        }
        fail("the server does not say how much came")
    }

    private static func download(_ channel: inout Channel) -> (UInt64, UInt64) {
        let (received, sent) = channel.countPayload()
        guard let sent else { fail("the end did not come: \(received) datagrams did") }
        channel.send(Header(.end))
        return (received, sent)
    }

    // MARK: Server

    static func serve(port: UInt16) -> Never {
        while true {
            let descriptor = makeSocket(SOCK_DGRAM)
            check("bind") { Peer.any(port: port).lend { bind(descriptor, $0, $1) } }
            var channel = Channel(descriptor)
            serveOne(&channel)
            close(descriptor)
        }
    }

    /// Waits for a client, connects to it and does what it ordered.
    private static func serveOne(_ channel: inout Channel) {
        RequestResponse.waitForever(channel.descriptor)
        var client = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let descriptor = channel.descriptor
        // Sound: the call gets the storage's own length, and connect(2) the length that came back.
        let count = withUnsafeMutableBytes(of: &client) { bytes -> Int in
            let address = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            let count = recvfrom(descriptor, &channel.buffer, 2_048, 0, address, &length)
            if count > 0 { check("connect") { connect(descriptor, address, length) } }
            return count
        }
        guard let order = Header(channel.buffer, count: count) else { return }
        switch order.kind {
        case .upload:
            channel.send(order)
            let (received, _) = channel.countPayload()
            for _ in 0..<5 { channel.send(Header(.end, number: received)) }
        case .download:
            let sent = channel.sendPayload(order)
            for _ in 0..<50 {
                channel.send(Header(.end, number: sent))
                if channel.receive(milliseconds: 100)?.kind == .end { return }
            }
        case .payload, .end:
            return
        }
    }
}
