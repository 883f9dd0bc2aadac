import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A manual clock.
final class HandClock {
    var now = Instant(nanoseconds: 1_000_000_000_000)

    func advance(_ duration: Duration) {
        now = now + duration
    }
}

/// Records the datagrams that a service sends.
final class DatagramRecorder: DatagramSender {
    struct Sent {
        var payload: [UInt8]
        var source: Endpoint
        var destination: Endpoint
    }

    var sent: [Sent] = []

    func send(_ payload: [UInt8], from source: Endpoint, to destination: Endpoint) {
        sent.append(Sent(payload: payload, source: source, destination: destination))
    }
}

/// A directory for one test, removed with its last user.
final class ScratchDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "rdnet-dns-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record("\(path) stays behind: \(error)")
        }
    }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name), options: .atomic)
    }
}

/// Queries and answers, encoded without the code under test.
enum DNSOctets {
    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    static func query(
        _ text: String,
        type: UInt16 = 1,
        id: UInt16 = 0x1234,
        size: UInt16? = nil,
        recordClass: UInt16 = 1
    ) -> [UInt8] {
        let option: [UInt8] =
            size.map { [0, 0, 41, UInt8($0 >> 8), UInt8($0 & 0xff), 0, 0, 0x80, 0, 0, 0] } ?? []
        return [UInt8(id >> 8), UInt8(id & 0xff), 1, 0]
            + [0, 1, 0, 0, 0, 0, 0, option.isEmpty ? 0 : 1]
            + name(text)
            + [
                UInt8(type >> 8), UInt8(type & 0xff), UInt8(recordClass >> 8),
                UInt8(recordClass & 0xff),
            ]
            + option
    }

    /// A server's answer: the query as a response, with a code, and records after the question.
    static func answer(_ query: [UInt8], code: UInt8 = 0, records: [UInt8] = []) -> [UInt8] {
        var answer = query
        answer[2] |= 0x80
        answer[3] = 0x80 | code
        return answer + records
    }

    static func code(_ message: [UInt8]) -> UInt8? { message.count > 3 ? message[3] & 0x0f : nil }
}

/// A service with its loop, its clock and fake servers.
final class DNSFixture {
    static let gateway = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f01), port: 53)
    static let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 40_000)
    static let hostAlias = IPAddress(ipv4: 0xc0a8_7ffe)

    /// The IPv6 side of the same network.
    static func ipv6(_ prefix: String = "fdc0:a87f::/64") throws -> IPv6Plan {
        let plan = GatewayPlan(
            subnet: .standard,
            gatewayMAC: .standardGateway,
            mtu: 1500,
            allowsLinkLocal: false
        )
        return try #require(IPv6Plan(try IPv6Prefix(prefix), beside: plan))
    }

    let clock = HandClock()
    let loop: EventLoop
    let service: DNSService
    let recorder = DatagramRecorder()
    let files: ScratchDirectory
    let upstreams: [FakeUpstream]

    init(
        upstreams count: Int = 1,
        withTCP: Bool = true,
        hosts: String = "",
        resolver: String = "",
        seed: UInt64 = 1,
        settings change: (inout DNSSettings) -> Void = { _ in }
    ) throws {
        let clock = clock
        let loop = try EventLoop(clock: { clock.now })
        self.loop = loop
        upstreams = try (0..<count).map { _ in try FakeUpstream(loop: loop, withTCP: withTCP) }
        files = try ScratchDirectory()
        try files.write(hosts, to: "hosts")
        try files.write(resolver, to: "resolv.conf")
        var settings = DNSSettings(
            hostAlias: Self.hostAlias,
            hostsPath: files.path + "/hosts",
            resolverPath: files.path + "/resolv.conf",
            servers: upstreams.map { ZonedEndpoint($0.endpoint) }
        )
        change(&settings)
        service = DNSService(
            loop: loop,
            settings: settings,
            zones: .builtIn(gateway: Self.gateway.address, hostAlias: Self.hostAlias),
            random: SeededRandom(seed: seed),
            log: .discarding()
        )
        service.sender = recorder
    }

    deinit {
        for upstream in upstreams { upstream.close() }
    }

    /// Hands a datagram to the service.
    func ask(_ message: [UInt8], from client: Endpoint = guest) {
        let datagram = ServiceDatagram(
            source: client,
            destination: Self.gateway,
            sourceMAC: MACAddress(rawValue: 0x5a94_efe4_0cee),
            payload: message
        )
        service.receive(datagram, now: loop.now)
    }

    /// Sends a query and waits for one more answer.
    func answer(to message: [UInt8]) throws -> [UInt8] {
        let before = recorder.sent.count
        ask(message)
        try run { recorder.sent.count > before }
        return try #require(recorder.sent.last).payload
    }

    /// Turns the loop until a condition holds; loopback answers within a turn or two.
    func run(_ what: Comment? = nil, until condition: () -> Bool) throws {
        let deadline = ContinuousClock.now + hangGuard
        while ContinuousClock.now < deadline {
            if condition() { return }
            try loop.turn(waitingAtMost: .milliseconds(1))
        }
        Issue.record(what ?? "it never happened")
    }

    /// Delivers everything in flight: loopback delivers within the sending system call.
    func settle() throws {
        for _ in 0..<8 { try loop.turn(waitingAtMost: .zero) }
    }

    /// Advances the clock and handles whatever becomes due.
    func pass(_ duration: Duration) throws {
        clock.advance(duration)
        try settle()
    }

    /// Opens a guest's stream to the service.
    func connect() throws -> GuestStream {
        let pair = try Socket.pair()
        let guest = GuestStream(try pair.one.duplicate(), self)
        service.accept(try pair.other.duplicate(), from: Self.guest)
        return guest
    }
}

/// The guest's end of a stream.
final class GuestStream {
    private let descriptor: OwnedDescriptor
    private unowned let fixture: DNSFixture
    private var received: [UInt8] = []
    private(set) var hasEnded = false

    init(_ descriptor: consuming OwnedDescriptor, _ fixture: DNSFixture) {
        self.descriptor = descriptor
        self.fixture = fixture
    }

    static func framed(_ message: [UInt8]) -> [UInt8] {
        [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message
    }

    /// Sends bytes; on a closed stream, only sets `hasEnded`.
    func send(_ octets: [UInt8]) throws {
        do {
            let count = try Socket.send(descriptor, octets)
            #expect(count == octets.count)
        } catch {
            hasEnded = true
        }
    }

    /// Sends the same bytes repeatedly until the stream takes no more.
    ///
    /// - Returns: The number of bytes it took, at most approximately `limit`.
    func flood(_ octets: [UInt8], limit: Int) throws -> Int {
        var (total, offset) = (0, 0)
        while total < limit {
            guard let count = try Socket.send(descriptor, octets, from: offset) else {
                return total
            }
            total += count
            offset = (offset + count) % octets.count
            try fixture.settle()
        }
        return total
    }

    func endSending() {
        Socket.shutDown(descriptor, Int32(SHUT_WR))
    }

    /// Whether the stream ends, after this process has closed the other end.
    func readsEnd() -> Bool {
        followsClose {
            read()
            return hasEnded
        }
    }

    /// Reads all waiting bytes.
    func read() {
        let buffer = ReceiveBuffer()
        do {
            while let count = try Socket.receive(descriptor, into: buffer.memory) {
                if count == 0 {
                    hasEnded = true
                    return
                }
                received += buffer.prefix(count)
            }
        } catch {
            hasEnded = true
        }
    }

    /// Waits for the next message and takes it.
    func message() throws -> [UInt8] {
        var length = 0
        try fixture.run("no message on the stream") {
            read()
            guard received.count >= 2 else { return false }
            length = Int(received[0]) << 8 | Int(received[1])
            return received.count >= 2 + length
        }
        try #require(received.count >= 2 + length)
        defer { received.removeFirst(2 + length) }
        return Array(received[2..<(2 + length)])
    }
}
