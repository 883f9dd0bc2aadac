import CLinux
import Glibc

/// Sends each datagram back to where it came from.
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
            // Sound: the call gets the storage's own length, and sendto(2) the length that came
            // back.
            withUnsafeMutableBytes(of: &client) { bytes in
                let address = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
                let count = recvfrom(descriptor, &buffer, buffer.count, 0, address, &length)
                if count >= 0 { sendto(descriptor, buffer, count, 0, address, length) }
            }
        }
    }
}

/// Sockets that each send datagrams of their own, and take nobody else's back.
struct DatagramClients {
    private static let rounds = 3
    /// Datagrams that wait for their answer at a time: more could find a full queue, and be lost as
    /// datagrams are.
    private static let maximumUnanswered = 64

    private var readiness = Readiness()
    /// What each socket has sent last, and how many of its datagrams have come back.
    private var sent: [Int32: UInt64] = [:]
    private var answers: [Int32: Int] = [:]
    private var unanswered = 0

    /// Sends a datagram from each of so many sockets, three times over, and counts the sockets that
    /// got each of theirs back.
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

    /// Takes answers until no more than so many are missing, or none has come for two seconds.
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
