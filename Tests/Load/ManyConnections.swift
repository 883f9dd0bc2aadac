import CLinux
import Glibc

/// Connections to one peer, established a hundred at a time.
enum ConnectionSet {
    /// Opens `count` connections, or ends the program.
    static func connect(_ peer: Peer, count: Int) -> [Int32] {
        var readiness = Readiness()
        defer { readiness.end() }
        var open: [Int32] = []
        while open.count < count {
            open += connect(peer, min(100, count - open.count), &readiness)
        }
        return open
    }

    private static func connect(
        _ peer: Peer,
        _ count: Int,
        _ readiness: inout Readiness
    ) -> [Int32] {
        var connecting: Set<Int32> = []
        for _ in 0..<count {
            let descriptor = startConnection(to: peer)
            readiness.watch(descriptor, writing: true, isNew: true)
            connecting.insert(descriptor)
        }
        var connected: [Int32] = []
        while !connecting.isEmpty {
            let ready = readiness.wait(milliseconds: 60_000)
            if ready.isEmpty { fail("\(connecting.count) connections were not made in a minute") }
            for descriptor in ready where connecting.remove(descriptor) != nil {
                let code = connectionError(descriptor)
                if code != 0 { fail("connect: \(String(cString: strerror(code)))") }
                readiness.watch(descriptor, reading: false, isNew: false)
                connected.append(descriptor)
            }
        }
        return connected
    }

    /// Opens connections, reports that, waits for a line of input, and checks each with an echo.
    static func hold(_ peer: Peer, count: Int) {
        let open = connect(peer, count: count)
        report(["held": open.count])
        _ = readLine()
        for descriptor in open { RequestResponse.exchange(descriptor) }
        report(["alive": open.count])
    }
}

/// Connections that each send data and receive its echo, next to one that never reads.
struct EchoedConnections {
    private struct Progress {
        var sent = 0
        var received = 0
    }

    private static let seconds: UInt64 = 60

    private let octets: Int
    private var readiness = Readiness()
    private var progress: [Int32: Progress] = [:]
    private var deaf: Int32 = -1
    private var numbers: [Int32: Int] = [:]
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init(octets: Int) {
        self.octets = octets
    }

    mutating func run(_ peer: Peer, count: Int) {
        let start = nanoseconds()
        for number in 0..<count {
            let descriptor = startConnection(to: peer)
            let isDeaf = number == count - 1
            readiness.watch(descriptor, reading: !isDeaf, writing: true, isNew: true)
            progress[descriptor] = Progress()
            numbers[descriptor] = number
            deaf = descriptor
        }
        var unfinished = count - 1
        while unfinished > 0 {
            for descriptor in readiness.wait(milliseconds: 100) {
                let isFinished = descriptor == deaf ? shout() : advance(descriptor)
                if isFinished { unfinished -= 1 }
            }
            if nanoseconds() - start > Self.seconds * 1_000_000_000 {
                fail("\(unfinished) of \(count - 1) connections did not finish")
            }
        }
        let elapsed = (nanoseconds() - start) / 1_000_000
        report(["finished": count - 1, "unread": progress[deaf]?.sent ?? 0, "ms": Int(elapsed)])
    }

    /// The byte at an offset of a connection's stream; it differs between connections.
    private func octet(_ number: Int, at offset: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: (offset &* 31) ^ (offset >> 8) ^ (number &* 7))
    }

    /// Sends on the connection that never reads, as much as its socket takes.
    private mutating func shout() -> Bool {
        let count = buffer.withUnsafeBytes {
            send(deaf, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if count > 0 { progress[deaf]?.sent += count }
        if count < 0, errno != EAGAIN { fail("the connection that never reads: \(errno)") }
        return false
    }

    /// Continues one connection; returns whether it has just finished.
    private mutating func advance(_ descriptor: Int32) -> Bool {
        guard var state = progress[descriptor], let number = numbers[descriptor] else {
            return false
        }
        if state.sent < octets {
            let length = min(buffer.count, octets - state.sent)
            let block = (0..<length).map { octet(number, at: state.sent + $0) }
            let count = send(descriptor, block, length, Int32(MSG_NOSIGNAL))
            if count < 0, errno != EAGAIN { fail("connection \(number): send: errno \(errno)") }
            state.sent += max(0, count)
            if state.sent == octets { readiness.watch(descriptor, isNew: false) }
        }
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count == 0 { fail("connection \(number) ended after \(state.received) octets") }
        if count < 0, errno != EAGAIN { fail("connection \(number): recv: errno \(errno)") }
        for index in 0..<max(0, count)
        where buffer[index] != octet(number, at: state.received + index) {
            fail("connection \(number): another octet than was sent at \(state.received + index)")
        }
        state.received += max(0, count)
        let isFinished = state.received == octets
        progress[descriptor] = isFinished ? nil : state
        if isFinished { close(descriptor) }
        return isFinished
    }
}
