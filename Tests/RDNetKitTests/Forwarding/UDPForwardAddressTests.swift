import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "UDP forward of a machine with several addresses",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct UDPForwardAddressTests {
    /// A client's address and the server's, which is not the kernel's default source address.
    struct Ends: CustomTestStringConvertible {
        var client: String
        var server: String
        /// Whether the socket is IPv4-only, as on a machine without IPv6.
        var isOnlyIPv4 = false

        var testDescription: String { "\(client) to \(server)" + (isOnlyIPv4 ? ", IPv4" : "") }
    }

    private static let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 53)
    private let namespace: NetworkNamespace
    private let loop: EventLoop
    private let connector = RecordingConnector()
    private let counters = ForwardCounters()

    init() throws {
        loop = try EventLoop()
        namespace = try NetworkNamespace()
        try namespace.run("ip", "link", "set", "lo", "up")
        try namespace.run("ip", "link", "add", "wide", "type", "veth", "peer", "name", "far")
        for link in ["wide", "far"] { try namespace.run("ip", "link", "set", link, "up") }
        try namespace.run("ip", "address", "add", "10.9.0.2/32", "dev", "lo")
        try namespace.run("ip", "address", "add", "10.9.1.1/24", "broadcast", "+", "dev", "wide")
        for (address, link) in [
            ("fd00::2/128", "lo"), ("fe80::1/64", "wide"), ("fe80::2/64", "wide"),
        ] {
            try namespace.run("ip", "address", "add", address, "dev", link, "nodad")
        }
    }

    private func makeForward(isOnlyIPv4: Bool = false) throws -> UDPForward {
        try namespace.enter {
            let anyPort = Endpoint(address: .anyIPv4, port: 0)
            let socket: OwnedDescriptor
            if isOnlyIPv4 {
                socket = try Socket.make(AF_INET, SOCK_DGRAM)
                Socket.tellLocalAddresses(socket)
                try Socket.bind(socket, to: SocketAddress(anyPort), named: "any")
            } else {
                socket = try ListeningSocket.udp(anyPort)
            }
            return try UDPForward(
                socket,
                to: Self.guest,
                connector: connector,
                loop: loop,
                counters: counters
            )
        }
    }

    /// Returns an address of the namespace; link-local addresses are on the interface `wide`.
    private func address(_ text: String, _ port: UInt16) throws -> SocketAddress {
        let address = try #require(IPAddress(text))
        guard address.isLinkLocal else {
            return SocketAddress(Endpoint(address: address, port: port))
        }
        var whole = sockaddr_storage()
        whole.ss_family = sa_family_t(AF_INET6)
        let link = try namespace.enter { if_nametoindex("wide") }
        withUnsafeMutableBytes(of: &whole) { octets in
            octets.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
            octets.storeBytes(of: address.high.bigEndian, toByteOffset: 8, as: UInt64.self)
            octets.storeBytes(of: address.low.bigEndian, toByteOffset: 16, as: UInt64.self)
            octets.storeBytes(of: link, toByteOffset: 24, as: UInt32.self)
        }
        return SocketAddress(whole, length: socklen_t(MemoryLayout<sockaddr_in6>.size))
    }

    private func makeClient(at text: String) throws -> OwnedDescriptor {
        let address = try address(text, 0)
        return try namespace.enter {
            let socket = try Socket.make(address.family, SOCK_DGRAM)
            try Socket.bind(socket, to: address, named: text)
            return socket
        }
    }

    /// Sends a datagram to the guest and lets the guest echo it.
    private func exchange(
        _ octet: UInt8,
        _ client: borrowing OwnedDescriptor,
        _ server: SocketAddress
    ) throws {
        let before = counters.datagramsToGuest
        _ = try [octet].withUnsafeBytes { try Socket.sendDatagram(client, $0, to: server) }
        try loop.turn(until: { counters.datagramsToGuest > before })
        let port = try #require(connector.ports.first { $0.sent.last == [octet] })
        [octet].withUnsafeBytes { port.receiver.receiveFromGuest($0, now: loop.now) }
    }

    private func received(
        by client: borrowing OwnedDescriptor
    ) throws -> (octet: UInt8, sender: IPAddress?)? {
        var buffer: [UInt8] = [0]
        let datagram = try buffer.withUnsafeMutableBytes {
            try Socket.receiveDatagram(client, into: $0)
        }
        return datagram.map { (buffer[0], $0.sender.endpoint?.address) }
    }

    @Test(
        "an answer comes from the address that was asked",
        arguments: [
            Ends(client: "127.0.0.1", server: "10.9.0.2"),
            Ends(client: "127.0.0.1", server: "10.9.0.2", isOnlyIPv4: true),
            Ends(client: "::1", server: "fd00::2"), Ends(client: "fe80::1", server: "fe80::2"),
        ]
    )
    func connected(ends: Ends) throws {
        let forward = try makeForward(isOnlyIPv4: ends.isOnlyIPv4)
        let server = try address(ends.server, try #require(forward.endpoint).port)
        let client = try makeClient(at: ends.client)
        // From now on, the client's kernel drops datagrams from other addresses.
        _ = try Socket.connect(client, to: server)
        for octet in 1...3 as ClosedRange<UInt8> {
            try exchange(octet, client, server)
            let answer = try received(by: client)
            #expect(answer?.octet == octet)
            #expect(answer?.sender == IPAddress(ends.server))
        }
        #expect(forward.clientCount == 1)
        #expect(counters.datagramsDropped == 0)
        forward.close()
    }

    @Test func `a client that asks at two addresses has an answer from each`() throws {
        let forward = try makeForward()
        let port = try #require(forward.endpoint).port
        let client = try makeClient(at: "127.0.0.1")
        for (octet, server) in [(1, "10.9.0.2"), (2, "127.0.0.1"), (3, "10.9.0.2")] {
            try exchange(UInt8(octet), client, try address(server, port))
            #expect(try received(by: client)?.sender == IPAddress(server))
        }
        #expect(forward.clientCount == 2)
        forward.close()
    }

    @Test func `an answer to a broadcast comes from this machine's address`() throws {
        let forward = try makeForward()
        let port = try #require(forward.endpoint).port
        let client = try makeClient(at: "10.9.1.1")
        try Socket.set(client, SOL_SOCKET, SO_BROADCAST, to: 1)
        try exchange(1, client, try address("10.9.1.255", port))
        #expect(try received(by: client)?.sender == IPAddress("10.9.1.1"))
        forward.close()
    }
}
