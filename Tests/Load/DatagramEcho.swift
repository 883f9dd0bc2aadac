import CLinux
import Glibc

/// Sends each datagram back to its sender.
enum DatagramEchoServer {
    static func run(port: UInt16) -> Never {
        let descriptor = makeSocket(SOCK_DGRAM)
        setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 4 << 20)
        check("bind") { Peer.any(port: port).lend { bind(descriptor, $0, $1) } }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var client = sockaddr_storage()
        while true {
            RequestResponse.waitForever(descriptor)
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            // Sound: recvfrom(2) gets the storage's own length, and sendto(2) the length that it
            // returned.
            withUnsafeMutableBytes(of: &client) { bytes in
                let address = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
                let count = recvfrom(descriptor, &buffer, buffer.count, 0, address, &length)
                if count >= 0 { sendto(descriptor, buffer, count, 0, address, length) }
            }
        }
    }
}

/// Sockets that each send different datagrams and accept only their own back.
struct DatagramClients {
    private static let rounds = 3
    /// Limit on unanswered datagrams; more could overflow a queue and be lost.
    private static let maximumUnanswered = 64

    private var readiness = Readiness()
    /// Each socket's latest datagram, and the number of its answers.
    private var sent: [Int32: UInt64] = [:]
    private var answers: [Int32: Int] = [:]
    private var unanswered = 0

    /// Sends datagrams from `count` sockets, three each; reports the sockets that got all answers.
    mutating func run(_ peer: Peer, count: Int) {
        var descriptors: [Int32] = []
        for _ in 0..<count {
            let descriptor = makeSocket(SOCK_DGRAM)
            check("connect") { peer.lend { connect(descriptor, $0, $1) } }
            readiness.watch(descriptor, isNew: true)
            descriptors.append(descriptor)
        }
        for round in 0..<Self.rounds {
            for (index, descriptor) in descriptors.enumerated() {
                var payload = UInt64(round * count + index)
                check("send") { send(descriptor, &payload, 8, 0) }
                sent[descriptor] = payload
                unanswered += 1
                collect(until: Self.maximumUnanswered)
            }
            collect(until: 0)
        }
        report(["answered": answers.values.count { $0 == Self.rounds }])
    }

    /// Collects answers until at most `most` are missing, or none arrives for two seconds.
    private mutating func collect(until most: Int) {
        while unanswered > most {
            let ready = readiness.wait(milliseconds: 2_000)
            if ready.isEmpty {
                unanswered = 0
                return
            }
            for descriptor in ready {
                var payload: UInt64 = 0
                guard recv(descriptor, &payload, 8, 0) == 8 else { continue }
                if sent[descriptor] == payload { answers[descriptor, default: 0] += 1 }
                unanswered -= 1
            }
        }
    }
}
