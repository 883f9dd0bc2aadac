import CLinux
import Glibc

/// Round trips of one byte on one connection, or with one UDP socket.
enum RequestResponse {
    static func run(_ peer: Peer, seconds: Double) {
        let descriptor = startConnection(to: peer)
        waitFor(descriptor, POLLOUT)
        let code = connectionError(descriptor)
        if code != 0 { fail("connect: \(String(cString: strerror(code)))") }
        run(on: descriptor, seconds: seconds)
    }

    static func runDatagrams(_ peer: Peer, seconds: Double) {
        let descriptor = makeSocket(SOCK_DGRAM)
        check("connect") { peer.lend { connect(descriptor, $0, $1) } }
        run(on: descriptor, seconds: seconds)
    }

    private static func run(on descriptor: Int32, seconds: Double) {
        var samples = Samples()
        let start = nanoseconds()
        let end = start + UInt64(seconds * 1e9)
        var now = start
        // At least one round trip: a failure then says something about the peer, not the machine.
        repeat {
            let sent = now
            exchange(descriptor)
            now = nanoseconds()
            samples.add(now - sent)
        } while now < end
        samples.report(over: now - start)
    }

    /// Sends one byte and waits for its echo.
    static func exchange(_ descriptor: Int32) {
        var octet: UInt8 = 0x2a
        check("send") { send(descriptor, &octet, 1, Int32(MSG_NOSIGNAL)) }
        waitFor(descriptor, POLLIN)
        let count = check("recv") { recv(descriptor, &octet, 1, 0) }
        guard count == 1, octet == 0x2a else { fail("the connection ended") }
    }

    /// Waits until data can be read, without a limit.
    static func waitForever(_ descriptor: Int32) {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        check("poll") { poll(&entry, 1, -1) }
    }

    /// Waits for an event, for a minute at most.
    static func waitFor(_ descriptor: Int32, _ event: Int32) {
        var entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        let count = check("poll") { poll(&entry, 1, 60_000) }
        if count == 0 { fail("nothing happened for a minute") }
    }
}

/// Connections in parallel, each with one round trip of one byte.
struct ConnectionRate {
    /// Limit on the number of connections.
    var most = Int.max
    private let peer: Peer
    private var readiness = Readiness()
    /// The start of each connection, and whether its byte was sent.
    private var begun: [Int32: (at: UInt64, hasSent: Bool)] = [:]
    private var samples = Samples()
    private var failures = 0

    init(_ peer: Peer) {
        self.peer = peer
    }

    mutating func run(seconds: Double, atOnce: Int) {
        let start = nanoseconds()
        let end = start + UInt64(seconds * 1e9)
        var lastProgress = start
        for _ in 0..<atOnce { begin() }
        while nanoseconds() < end, samples.count + failures < most {
            let ready = readiness.wait(milliseconds: 100)
            if !ready.isEmpty { lastProgress = nanoseconds() }
            if nanoseconds() - lastProgress > 60_000_000_000 { fail("no progress for a minute") }
            for descriptor in ready { advance(descriptor) }
        }
        if failures > 0 { fail("\(failures) of \(samples.count + failures) connections failed") }
        samples.report(over: nanoseconds() - start)
    }

    private mutating func begin() {
        let now = nanoseconds()
        let descriptor = startConnection(to: peer)
        begun[descriptor] = (now, false)
        readiness.watch(descriptor, writing: true, isNew: true)
    }

    private mutating func advance(_ descriptor: Int32) {
        guard let entry = begun[descriptor] else { return }
        var octet: UInt8 = 0x2a
        if !entry.hasSent {
            guard connectionError(descriptor) == 0,
                send(descriptor, &octet, 1, Int32(MSG_NOSIGNAL)) == 1
            else { return finish(descriptor, entry.at, isGood: false) }
            begun[descriptor] = (entry.at, true)
            readiness.watch(descriptor, isNew: false)
            return
        }
        let count = recv(descriptor, &octet, 1, 0)
        if count < 0, errno == EAGAIN { return }
        finish(descriptor, entry.at, isGood: count == 1)
    }

    private mutating func finish(_ descriptor: Int32, _ start: UInt64, isGood: Bool) {
        begun[descriptor] = nil
        close(descriptor)
        if isGood { samples.add(nanoseconds() - start) } else { failures += 1 }
        begin()
    }
}
