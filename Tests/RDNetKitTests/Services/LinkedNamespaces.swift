import CLinux
import Glibc
import Testing

@testable import RDNetKit

/// A host and its neighbors, each in its own namespace and on its own link.
///
/// Neighbor N is on the host's interface `uplinkN`: 10.99.N.1 and fe80::1 on the host, 10.99.N.2
/// and fe80::2 on the neighbor, whose interface is `peer`.
final class LinkedNamespaces {
    let host: NetworkNamespace
    private(set) var neighbors: [NetworkNamespace] = []

    init(links: Int) throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        for number in 0..<links {
            let neighbor = try NetworkNamespace()
            try neighbor.run("ip", "link", "set", "lo", "up")
            neighbors.append(neighbor)
            try connect(number)
        }
    }

    /// Creates a neighbor's link, possibly again after its removal.
    func connect(_ number: Int) throws {
        let neighbor = neighbors[number]
        try host.run(
            "ip",
            "link",
            "add",
            "uplink\(number)",
            "type",
            "veth",
            "peer",
            "name",
            "peer",
            "netns",
            neighbor.name
        )
        for (namespace, name, last) in [(host, "uplink\(number)", 1), (neighbor, "peer", 2)] {
            try namespace.run("ip", "address", "add", "10.99.\(number).\(last)/24", "dev", name)
            try namespace.run("ip", "link", "set", name, "addrgenmode", "none")
            try namespace.run("ip", "link", "set", name, "up")
            try namespace.run("ip", "address", "add", "fe80::\(last)/64", "dev", name, "nodad")
        }
    }
}

/// A UDP socket in a namespace that answers each datagram, driven by a test's loop.
final class DatagramResponder: ReadinessObserver {
    private let loop: EventLoop
    private let socket: OwnedDescriptor
    private let outgoing: OwnedDescriptor
    private var watch: EventLoop.Watch?
    private let answer: ([UInt8]) -> [[UInt8]]
    private(set) var received: [(message: [UInt8], sender: Endpoint)] = []

    /// Creates a responder; `prepare` makes its socket inside the namespace.
    init(
        in namespace: NetworkNamespace,
        loop: EventLoop,
        socket prepare: () throws -> OwnedDescriptor,
        outgoing prepareOutgoing: (() throws -> OwnedDescriptor)? = nil,
        answer: @escaping ([UInt8]) -> [[UInt8]]
    ) throws {
        self.loop = loop
        self.answer = answer
        socket = try namespace.enter(prepare)
        outgoing = try prepareOutgoing.map { try namespace.enter($0) } ?? socket.duplicate()
        watch = try loop.watch(socket.number, for: .readable, observer: self)
    }

    func close() {
        if let watch { loop.forget(watch) }
        watch = nil
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        let buffer = ReceiveBuffer()
        do {
            while let (count, sender) = try Socket.receiveDatagram(socket, into: buffer.memory) {
                let message = buffer.prefix(count)
                received.append((message, try #require(sender.endpoint)))
                for octets in answer(message) {
                    try octets.withUnsafeBytes {
                        _ = try Socket.sendDatagram(outgoing, $0, to: sender)
                    }
                }
            }
        } catch {
            Issue.record("responder: \(error)")
        }
    }
}
