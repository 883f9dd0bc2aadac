import CLinux
import Glibc
import Testing

@testable import RDNetKit

/// A UDP socket and a TCP socket, bound to the same free port of 127.0.0.1.
struct LoopbackPorts: ~Copyable {
    let datagrams: OwnedDescriptor
    let streams: OwnedDescriptor
    let endpoint: Endpoint

    init() throws {
        var attempts = 0
        while true {
            let datagrams = try Socket.make(AF_INET, SOCK_DGRAM)
            let streams = try Socket.make(AF_INET, SOCK_STREAM)
            let loopback = SocketAddress(Endpoint(address: .loopbackIPv4, port: 0))
            try Socket.bind(datagrams, to: loopback, named: "loopback")
            let address = try Socket.localAddress(datagrams)
            try Socket.set(streams, SOL_SOCKET, SO_REUSEADDR, to: 1)
            attempts += 1
            do {
                try Socket.bind(streams, to: address, named: "loopback")
            } catch {
                // Another connection uses the port, which was free only for UDP.
                guard attempts < 100 else { throw error }
                continue
            }
            endpoint = try #require(address.endpoint)
            self.datagrams = datagrams
            self.streams = streams
            return
        }
    }
}

/// A fake server on loopback, with UDP and TCP on one port, in the loop of the code under test.
final class FakeUpstream {
    enum Transport {
        case datagram
        case stream
    }

    struct Query {
        var message: [UInt8]
        var transport: Transport
        var source: Endpoint?
    }

    private let loop: EventLoop
    private let datagrams: OwnedDescriptor
    private let listener: OwnedDescriptor
    private var watches: [EventLoop.Watch] = []
    fileprivate var streams: [FakeStream] = []
    let endpoint: Endpoint
    var received: [Query] = []
    /// Returns the answers to a query; none by default.
    var answer: (Query) -> [[UInt8]] = { _ in [] }
    var closesAfterAnswer = false

    init(loop: EventLoop, withTCP: Bool = true) throws {
        self.loop = loop
        let ports = try LoopbackPorts()
        endpoint = ports.endpoint
        datagrams = try ports.datagrams.duplicate()
        listener = try ports.streams.duplicate()
        // A socket that is bound but not listening keeps the port closed and reserved.
        if withTCP { try listen() }
        watches.append(try loop.watch(datagrams.number, for: .readable, observer: self))
    }

    private func listen() throws {
        try Socket.listen(listener)
        let door = StreamDoor(self)
        watches.append(try loop.watch(listener.number, for: .readable, observer: door))
    }

    func close() {
        for watch in watches { loop.forget(watch) }
        for stream in streams { stream.close() }
        watches = []
    }

    func take(_ query: Query) -> [[UInt8]] {
        received.append(query)
        return answer(query)
    }

    func acceptStreams() {
        let number = accept(listener.number, nil, nil)
        guard number >= 0 else { return }
        _ = fcntl(number, F_SETFL, O_NONBLOCK)
        do {
            streams.append(try FakeStream(number, loop: loop, owner: self))
        } catch {
            Issue.record("fake upstream: \(error)")
        }
    }

    func reply(_ message: [UInt8], to client: Endpoint) {
        do {
            let number = datagrams.number
            _ = try attempt("sendto") {
                SocketAddress(client).withPointer {
                    sendto(number, message, message.count, 0, $0, $1)
                }
            }
        } catch {
            Issue.record("fake upstream: \(error)")
        }
    }
}

extension FakeUpstream: ReadinessObserver {
    func descriptorReady(_ readiness: Readiness, now: Instant) {
        let buffer = ReceiveBuffer()
        do {
            while let (count, sender) = try Socket.receiveDatagram(datagrams, into: buffer.memory) {
                let client = try #require(sender.endpoint)
                let query = Query(
                    message: buffer.prefix(count),
                    transport: .datagram,
                    source: client
                )
                for message in take(query) { reply(message, to: client) }
            }
        } catch {
            Issue.record("fake upstream: \(error)")
        }
    }
}

private final class StreamDoor: ReadinessObserver {
    unowned let owner: FakeUpstream

    init(_ owner: FakeUpstream) {
        self.owner = owner
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        owner.acceptStreams()
    }
}

/// One connection to a fake server.
private final class FakeStream: ReadinessObserver {
    private let descriptor: Int32
    private let loop: EventLoop
    private unowned let owner: FakeUpstream
    private var watch: EventLoop.Watch?
    private var pending: [UInt8] = []
    private var outgoing: [UInt8] = []

    init(_ descriptor: Int32, loop: EventLoop, owner: FakeUpstream) throws {
        self.descriptor = descriptor
        self.loop = loop
        self.owner = owner
        watch = try loop.watch(self.descriptor, for: .readable, observer: self)
    }

    deinit { close() }

    func close() {
        guard let watch else { return }
        loop.forget(watch)
        self.watch = nil
        _ = Glibc.close(descriptor)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        var chunk = [UInt8](repeating: 0, count: 70_000)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count == 0 || (count < 0 && errno != EAGAIN) { return close() }
        if count > 0 { pending += chunk[..<count] }
        while pending.count >= 2, pending.count - 2 >= Int(pending[0]) << 8 | Int(pending[1]) {
            let length = Int(pending[0]) << 8 | Int(pending[1])
            let query = FakeUpstream.Query(
                message: Array(pending[2..<(2 + length)]),
                transport: .stream,
                source: nil
            )
            pending.removeFirst(2 + length)
            for message in owner.take(query) {
                outgoing += [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message
                if owner.closesAfterAnswer {
                    flush()
                    return close()
                }
            }
        }
        flush()
    }

    private func flush() {
        while !outgoing.isEmpty {
            let count = send(descriptor, outgoing, outgoing.count, Int32(MSG_NOSIGNAL))
            guard count > 0 else { break }
            outgoing.removeFirst(count)
        }
        if let watch {
            loop.change(watch, to: outgoing.isEmpty ? .readable : [.readable, .writable])
        }
    }
}
