import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "a host that changes its address",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct HostAddressTests {
    private let up: UpGuest
    private let path: RoutedHost

    init() throws {
        up = try UpGuest()
        path = try RoutedHost(up.host)
    }

    private func connect(_ port: Int) throws -> Client {
        let endpoint = try #require(Endpoint("\(RoutedHost.server):\(port)"))
        let client = try up.guest.enter {
            Client(try WaitingSocket.connected(to: endpoint, .stream, within: hangGuard))
        }
        try client.exchange()
        return client
    }

    /// Replaces the host's address by another of the same network.
    private func changeAddress() throws {
        let script = """
            link=$(ip -o route get \(RoutedHost.near) | sed 's/.* dev \\([^ ]*\\).*/\\1/')
            ip address del \(RoutedHost.host)/24 dev $link
            ip address add 10.71.1.99/24 dev $link
            ip route add default via \(RoutedHost.near)
            """
        try up.host.run("sh", "-c", script)
    }

    @Test func `resets the guest's connections, and new ones use the new address`() throws {
        try up.serveEcho(7000, in: path.server)
        let client = try connect(7000)
        try changeAddress()
        let failure = #expect(throws: SystemError.self) { try client.readForever() }
        #expect(failure?.errno == ECONNRESET)
        try connect(7000).exchange()
    }

    @Test func `carries the guest's datagrams on`() throws {
        let server = try path.server.enter {
            try HostDatagrams(#require(IPAddress(RoutedHost.server)))
        }
        let guest = try up.guest.enter {
            try HostDatagrams(#require(IPAddress("192.168.127.2")))
        }
        let target = Endpoint(
            address: try #require(IPAddress(RoutedHost.server)),
            port: server.port
        )
        for round in 1...2 {
            try guest.send([1], to: target)
            #expect(try comesTrue { try server.receive() && server.received.count == round })
            try server.answer([2])
            #expect(try comesTrue { try guest.receive() && guest.received.count == round })
            if round == 1 { try changeAddress() }
        }
        #expect(server.received.last?.sender.address == IPAddress("10.71.1.99"))
    }
}

/// A guest's connection to an echo server.
private final class Client {
    private let socket: WaitingSocket

    init(_ socket: consuming WaitingSocket) {
        self.socket = socket
    }

    func exchange() throws {
        try socket.send([1, 2, 3], within: hangGuard)
        #expect(try socket.receive(upTo: 3, within: hangGuard).count > 0)
    }

    /// Reads until an error; an end of stream is none.
    func readForever() throws {
        _ = try socket.receive(upTo: 3, within: hangGuard)
    }
}
