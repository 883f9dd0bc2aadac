import Testing

@testable import RDNetKit

/// The lines of a log.
private final class WrittenLog {
    var text = ""
}

/// An interface that a lease has configured, and its restorer, on a manual clock.
final class RestoredLink {
    static let address = "inet 192.168.127.2/24"
    static let route = "default via 192.168.127.1 dev eth0"

    let namespace: NetworkNamespace
    let clock = HandMovedClock()
    let loop: EventLoop
    private let written: WrittenLog
    var log: String { written.text }
    private let configuration: LinkConfiguration
    private var restorer: LinkRestorer?
    /// What the leases say about IPv6.
    var ipv6: IPv6Offer?

    /// Creates the interface and applies a lease.
    ///
    /// - Parameters:
    ///   - ipv6: What the lease says about IPv6.
    ///   - command: Prepares the interfaces.
    /// - Throws: Any failure.
    init(ipv6: IPv6Offer? = nil, preparing command: String = "true") throws {
        self.ipv6 = ipv6
        let (namespace, clock) = (try NetworkNamespace(), clock)
        self.namespace = namespace
        let loop = try EventLoop { clock.now }
        self.loop = loop
        for number in 0...1 {
            let (name, peer) = ("eth\(number)", "peer\(number)")
            try namespace.run("ip", "link", "add", name, "type", "veth", "peer", "name", peer)
            try namespace.run("ip", "link", "set", peer, "up")
        }
        try namespace.run("ip", "address", "add", "10.9.0.2/24", "dev", "eth1")
        try namespace.run("ip", "link", "set", "eth1", "up")
        try namespace.run("ip", "route", "add", "default", "via", "10.9.0.1", "metric", "500")
        try namespace.run("sh", "-c", command)
        let written = WrittenLog()
        self.written = written
        let logger = Logger(clock: { WallTime(seconds: 0, utcOffset: 0) }) { octets in
            written.text += String(decoding: octets, as: UTF8.self)
            return octets.count
        }
        configuration = try namespace.enter {
            try LinkConfiguration(
                interface: "eth0",
                nameServers: nil,
                maximumMTU: nil,
                log: logger
            )
        }
        restorer = try namespace.enter { [configuration] in
            try LinkRestorer(configuration, interface: "eth0", loop: loop, log: logger)
        }
        configuration.apply(.bound(try lease())) {}
        try settle()
    }

    deinit {
        restorer?.close()
    }

    func lease() throws -> DHCPLease {
        var message = try DHCPLeaseTests.acknowledgment()
        message.options[.ipv6Offer] = ipv6?.octets
        return try #require(DHCPLease(acknowledgedBy: message))
    }

    func renew() throws {
        configuration.apply(.renewed(try lease())) {}
    }

    func lose() {
        configuration.apply(.lost) {}
    }

    func ip(_ words: String) throws {
        try namespace.run("sh", "-c", "ip \(words)")
    }

    /// Lets the restorer notice changes, and passes the time in which they settle.
    func settle(_ time: Duration = .seconds(61)) throws {
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
        clock.advance(time)
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
    }

    var addresses: String {
        get throws { try namespace.run("ip", "-4", "-o", "address", "show", "dev", "eth0") }
    }
    var routes: String { get throws { try namespace.run("ip", "route", "show", "default") } }
    var isWhole: Bool {
        get throws {
            let network = try namespace.run("ip", "route", "show", "192.168.127.0/24")
            return try addresses.contains(Self.address) && routes.contains(Self.route)
                && network.contains("dev eth0")
        }
    }
    var lines: Int { log.split(separator: "\n").count }
}
