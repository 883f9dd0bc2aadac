import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Our DHCP server on one end of a veth pair, in its own namespace.
private final class ServerOnWire: ReadinessObserver {
    private let socket: PacketSocket
    private(set) var server: DHCPServer
    /// Whether the server answers.
    var isListening = true

    init(interface: String, configuration: DHCPServer.Configuration, loop: EventLoop) throws {
        var netlink = try Netlink()
        let link = try netlink.link(named: interface)
        try netlink.setLink(link.index, up: true)
        socket = try PacketSocket(port: 67, link: link.index, named: interface)
        server = DHCPServer(configuration)
        _ = try loop.watch(socket.number, for: .readable, observer: self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do {
            while let arrival = try socket.receive() {
                guard isListening else { continue }
                let datagram = ServiceDatagram(
                    source: arrival.packet.source,
                    destination: arrival.packet.destination,
                    sourceMAC: arrival.mac,
                    payload: arrival.packet.payload
                )
                guard let response = server.respond(to: datagram, now: now) else { continue }
                let packet = UDPPacket(
                    source: response.source,
                    destination: response.destination,
                    payload: response.octets
                )
                try socket.send(packet, to: response.destinationMAC)
            }
        } catch {
            Issue.record(error)
        }
    }
}

/// A veth pair between a guest's and a server's namespace.
private final class Wire {
    let guest: NetworkNamespace
    let host: NetworkNamespace
    let loop: EventLoop
    let server: ServerOnWire
    let mac: MACAddress
    let directory: URL
    private var clients: [GuestDHCP] = []

    init() throws {
        let (guest, host) = (try NetworkNamespace(), try NetworkNamespace())
        (self.guest, self.host) = (guest, host)
        try guest.run(
            "ip",
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "wire0",
            "netns",
            host.name
        )
        let loop = try EventLoop()
        self.loop = loop
        let found = try guest.enter { () -> MACAddress? in
            var netlink = try Netlink()
            return try netlink.link(named: "eth0").mac
        }
        let mac = try #require(found)
        self.mac = mac
        server = try host.enter {
            let subnet = try #require(Subnet("192.168.127.0/24"))
            let configuration = DHCPServer.Configuration(
                subnet: subnet,
                gateway: subnet.host(1),
                gatewayMAC: MACAddress(rawValue: 0x5a94_efe4_0cdd),
                reserved: [subnet.host(-2)],
                mtu: 1400,
                domainSearch: ["lan", "corp.example"],
                staticLeases: [mac: subnet.host(2)]
            )
            return try ServerOnWire(interface: "wire0", configuration: configuration, loop: loop)
        }
        directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("rdnet-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    deinit {
        for client in clients { client.stop() }
        do {
            try FileManager.default.removeItem(at: directory)
        } catch {
            Issue.record(error)
        }
    }

    func client(_ settings: GuestDHCP.Settings) throws -> GuestDHCP {
        let client = try guest.enter {
            try GuestDHCP(
                loop: loop,
                interface: "eth0",
                mac: mac,
                settings: settings,
                log: Logger.discarding()
            )
        }
        clients.append(client)
        return client
    }

    /// Turns the loop until a condition holds; fails after `hangGuard`.
    func turn(until isDone: () -> Bool) throws {
        let deadline = EventLoop.monotonicClock() + hangGuard
        while !isDone() {
            try #require(EventLoop.monotonicClock() < deadline, "it did not happen")
            try loop.turn(waitingAtMost: .milliseconds(50))
        }
    }

    /// Creates a script that appends its event and environment to `log`.
    func script() throws -> String {
        let path = directory.appendingPathComponent("script").path
        let log = directory.appendingPathComponent("log").path
        let text = "#!/bin/sh\nexec >>\(log)\necho \"event=$1\"\nenv | sort\n"
        try AtomicFile.replace(path, with: text)
        chmod(path, 0o755)
        return path
    }

    func file(_ name: String) throws -> String {
        try String(contentsOf: directory.appendingPathComponent(name), encoding: .utf8)
    }
}

@Suite("guest DHCP", .enabled(if: canMakeNamespaces, "needs root to make network namespaces"))
struct GuestDHCPTests {
    private let wire: Wire

    init() throws {
        wire = try Wire()
    }

    @Test func `configures address, route, MTU and resolver file; gives them back at the end`()
        throws
    {
        let resolver = wire.directory.appendingPathComponent("resolv.conf").path
        let file = ResolverFile(.chosen(resolver), loop: wire.loop, log: .discarding())
        let client = try wire.client(
            GuestDHCP.Settings(nameServers: { lease, done in
                file.update(lease)
                done()
            })
        )
        var (bound, lost) = (0, 0)
        client.onBound = { _ in bound += 1 }
        client.onLost = { lost += 1 }
        try client.start()
        try wire.turn { bound == 1 }
        #expect(lost == 1)
        let shown = try wire.guest.run("ip", "address", "show", "eth0")
        #expect(shown.contains("inet 192.168.127.2/24 brd 192.168.127.255"))
        #expect(shown.contains("mtu 1400"))
        let route = try wire.guest.run("ip", "route", "show", "default")
        #expect(route.hasPrefix("default via 192.168.127.1 dev eth0"))
        #expect(
            try wire.file("resolv.conf") == "search lan corp.example\nnameserver 192.168.127.1\n"
        )

        client.linkRestored()
        try wire.turn { bound == 2 }
        #expect(lost == 1)

        client.stop()
        try wire.turn { wire.server.server.statistics.releases == 1 }
        #expect(lost == 2)
        #expect(try !wire.guest.run("ip", "address", "show", "eth0").contains("inet "))
    }

    @Test func `asks again until a server is there`() throws {
        wire.server.isListening = false
        let client = try wire.client(GuestDHCP.Settings())
        try client.start()
        let patience = EventLoop.monotonicClock() + .milliseconds(500)
        try wire.turn { EventLoop.monotonicClock() > patience }
        #expect(client.lease == nil)
        wire.server.isListening = true
        try wire.turn { client.lease != nil }
    }

    @Test func `a second client on the interface is refused`() throws {
        let client = try wire.client(GuestDHCP.Settings())
        #expect(client.lease == nil)
        #expect(throws: SystemError.self) { try wire.client(GuestDHCP.Settings()) }
    }

    @Test func `busybox udhcpc takes our lease, and our script sees what its script sees`() throws {
        let script = try wire.script()
        let theirs = Process()
        theirs.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        theirs.arguments =
            ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "ip", "netns", "exec"]
            + [wire.guest.name, "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-s", script]
        theirs.standardOutput = FileHandle.nullDevice
        theirs.standardError = FileHandle.nullDevice
        try wire.guest.run("ip", "link", "set", "eth0", "up")
        try theirs.start()
        try wire.turn { !theirs.isRunning }
        #expect(theirs.terminationStatus == 0)
        let theirLog = try wire.file("log")
        try FileManager.default.removeItem(at: wire.directory.appendingPathComponent("log"))

        let runner = DHCPScript(
            path: script,
            interface: "eth0",
            environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET=/run/notify"],
            loop: wire.loop,
            log: .discarding()
        )
        let ours = try wire.client(GuestDHCP.Settings(recipient: runner))
        var isBound = false
        ours.onBound = { _ in isBound = true }
        try ours.start()
        try wire.turn { isBound }
        let ourLog = try wire.file("log")
        #expect(ourLog.hasPrefix("event=deconfig\n"))
        #expect(ourLog.contains("NOTIFY_SOCKET=/run/notify"))
        #expect(Self.boundEnvironment(ourLog) == Self.boundEnvironment(theirLog))
        #expect(Self.boundEnvironment(ourLog).contains("search=lan corp.example"))
    }

    /// The variables of the `bound` event, except the shell's own and NOTIFY_SOCKET.
    private static func boundEnvironment(_ log: String) -> [String] {
        let lines = log.split(separator: "\n").map(String.init)
        let foreign = ["PWD=", "SHLVL=", "_=", "OLDPWD=", "PATH=", "NOTIFY_SOCKET="]
        return lines.drop { $0 != "event=bound" }.dropFirst().filter { line in
            !foreign.contains { line.hasPrefix($0) }
        }
    }
}
