import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Events that made similar programs stop, crash or spin, while host-switch serves other guests.
@Suite(
    "one guest's trouble is nobody else's",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct WedgeTests {
    private let directory = TemporaryDirectory()

    private var options: [String] {
        ForeignGuest.links(in: directory) + ["--api", "unix://" + directory.file("api")]
    }

    private func ask(_ path: String) throws -> String {
        try run(["curl", "-sSf", "--unix-socket", directory.file("api"), "http://host\(path)"])
    }

    // MARK: Links

    @Test(
        "runts of every length are counted, and the link goes on",
        arguments: ForeignGuest.Transport.allCases
    )
    func runts(transport: ForeignGuest.Transport) throws {
        let command = [BuiltProgram.rdnet, "host-switch", "--logfile", directory.file("log")]
        let host = try RunningProgram(command + options)
        let guest = try ForeignGuest(transport, in: directory)
        #expect(try guest.asksGateway())
        // recv(2) does not distinguish an empty packet from the end of a packet connection.
        let lengths = transport == .bess ? 1..<14 : 0..<14
        for length in lengths {
            // The kernel queues at most ten datagrams (unix(7)).
            #expect(try comesTrue { try guest.send([UInt8](repeating: 0xff, count: length)) })
        }
        #expect(try guest.asksGateway())
        let stats = try ask("/stats")
        #expect(stats.contains("\"MalformedFrames\":\(lengths.count),"), "\(stats)")
        #expect(host.isRunning && !guest.hasEnded)
    }

    @Test(
        "a guest that stops reading costs the others nothing, and may read on",
        arguments: ForeignGuest.Transport.allCases
    )
    func stalledGuest(transport: ForeignGuest.Transport) throws {
        let world = try SwitchedGuest(hostOptions: options)
        try world.serve(BuiltProgram.load, "bulk-server", "9", in: world.host)
        try world.waitForListener(9, in: world.host)
        let stalled = try ForeignGuest(transport, in: directory)
        #expect(try stalled.asksGateway())
        try world.guest.run(
            "ip",
            "neighbor",
            "add",
            "\(stalled.address)",
            "lladdr",
            "\(stalled.mac)",
            "dev",
            "eth0",
            "nud",
            "permanent"
        )
        // Sends far more than all queues on the path hold, to a guest that does not read.
        let flood = try world.guest.enter {
            let port = Endpoint(address: stalled.address, port: 9)
            return HostPeer(try Socket.connectedDatagram(to: port))
        }
        let datagram = [UInt8](repeating: 7, count: 1_400)
        for _ in 0..<20_000 {
            try #require(comesTrue { try flood.write(datagram) == datagram.count })
        }
        let result = try world.load(
            "bulk-down",
            SwitchedGuest.hostAlias,
            "9",
            "4",
            "67108864",
            in: world.guest
        )
        #expect(result["octets"] == 67_108_864)
        let links = try world.askAPI("/links")
        #expect(!links.contains("\"dropped\":0,\"addresses\":[\"\(stalled.mac)\"]"), "\(links)")
        #expect(try #require(world.hostSwitch).residentSize() < 60_000_000)
        #expect(try stalled.asksGateway())
        #expect(!stalled.hasEnded)
    }

    @Test func `SIGTERM ends it, whoever is connected and says nothing`() throws {
        let world = try SwitchedGuest(hostOptions: options)
        let guests = try ForeignGuest.Transport.allCases.map {
            try ForeignGuest($0, in: directory)
        }
        for guest in guests { #expect(try guest.asksGateway()) }
        // One connection stops within its greeting, the other within a request.
        let idle = try ["vpnkit", "api"].map { name in
            let socket = try Socket.makeUnix()
            let address = try #require(SocketAddress(path: directory.file(name)))
            #expect(try Socket.connect(socket, to: address))
            return HostPeer(socket)
        }
        for peer in idle { try peer.write(Array("GET /".utf8)) }
        let host = try #require(world.hostSwitch)
        #expect(host.end())
        #expect(host.status == 1)
        for transport in ForeignGuest.Transport.allCases {
            #expect(!FileManager.default.fileExists(atPath: directory.file(transport.rawValue)))
        }
        #expect(!FileManager.default.fileExists(atPath: directory.file("api")))
    }

    // MARK: Flows

    @Test func `100 connects into a black hole do not keep others from connecting`() throws {
        let world = try SwitchedGuest()
        try world.serveEcho(7, in: world.host)
        // Packets to 203.0.113.0/24 go to a neighbor that does not exist.
        let hole = [
            "link add hole type veth peer name end", "link set hole up", "link set end up",
            "address add 198.51.100.1/24 dev hole",
            "neighbor add 198.51.100.2 lladdr 02:00:00:00:00:02 dev hole nud permanent",
            "route add 203.0.113.0/24 via 198.51.100.2",
        ]
        for line in hole {
            try RDNetKitTests.run(
                ["ip", "-n", world.host.name] + line.split(separator: " ").map { String($0) }
            )
        }
        let nowhere = Endpoint(address: IPAddress(ipv4: 0xcb00_7109), port: 443)
        let lost = try (0..<100).map { _ in
            HostPeer(try world.guest.enter { try Socket.connectingStream(to: nowhere) })
        }
        let connecting = {
            try world.askAPI("/flows").components(separatedBy: "\"connecting\"").count - 1
        }
        #expect(try comesTrue { try connecting() == 100 })
        let result = try world.load(
            "crr",
            SwitchedGuest.hostAlias,
            "7",
            "60",
            "16",
            "51",
            in: world.guest
        )
        #expect(result["count"] ?? 0 > 50, "\(result)")
        #expect(try connecting() == 100)
        for peer in lost { peer.close() }
    }

    /// Creates a UDP socket in a namespace.
    private func datagrams(_ namespace: NetworkNamespace) throws -> HostDatagrams {
        try namespace.enter { try HostDatagrams(.anyIPv4) }
    }

    @Test func `2,000 UDP destinations of one guest's port cost two descriptors`() throws {
        let world = try SwitchedGuest()
        let (guest, host) = (try datagrams(world.guest), try datagrams(world.host))
        let program = try #require(world.hostSwitch)
        let descriptors = {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(program.number)/fd").count
        }
        let before = try descriptors()
        let alias = try #require(IPAddress(SwitchedGuest.hostAlias))
        for port in 20_000..<22_000 as Range<UInt16> {
            try guest.send([1], to: Endpoint(address: alias, port: port))
        }
        // After this flood the guest's own queue may be full, and a datagram may be lost there.
        #expect(
            try comesTrue {
                try guest.send([2], to: Endpoint(address: alias, port: host.port))
                return try host.receive()
            }
        )
        // One for each loopback address: the closed ports make the flow try the other one, too.
        #expect(try descriptors() <= before + 2)
        try host.answer([3])
        #expect(try comesTrue { try guest.receive() })
        #expect(guest.received.last?.payload == [3])
    }

    @Test func `an empty UDP datagram ends nothing, either way`() throws {
        let world = try SwitchedGuest()
        let (guest, host) = (try datagrams(world.guest), try datagrams(world.host))
        let alias = try #require(IPAddress(SwitchedGuest.hostAlias))
        for payload in [[1], [], [2]] as [[UInt8]] {
            try guest.send(payload, to: Endpoint(address: alias, port: host.port))
        }
        #expect(
            try comesTrue {
                _ = try host.receive()
                return host.received.count == 3
            }
        )
        #expect(host.received.map { $0.payload } == [[1], [], [2]])
        #expect(Set(host.received.map { $0.sender }).count == 1)
        for payload in [[], [3], []] as [[UInt8]] { try host.answer(payload) }
        #expect(
            try comesTrue {
                _ = try guest.receive()
                return guest.received.count == 3
            }
        )
        #expect(guest.received.map { $0.payload } == [[], [3], []])
    }
}
