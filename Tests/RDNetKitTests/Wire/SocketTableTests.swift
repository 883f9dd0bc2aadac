import Testing

@testable import RDNetKit

@Suite("the kernel's tables of sockets")
struct SocketTableTests {
    /// /proc/net/tcp of Linux 6.1: a listener, and a connection to it.
    private static let tcp = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25311 1 0 100 0 0 10 0
           1: 0100007F:1F91 0100007F:D5A2 01 00000000:00000000 00:00000000 00000000  1000        0 25412 1 0 20 4 30 10 -1

        """
    /// /proc/net/udp6 of Linux 6.1: a server, and a connected client.
    private static let udp6 = """
          sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
         1087: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 22137 2 0 0
         1088: 00000000000000000000000001000000:8235 00000000000000000000000001000000:0035 01 00000000:00000000 00:00000000 00000000     0        0 22138 2 0 0

        """

    @Test func `only sockets that wait for any client have open ports`() {
        #expect(SocketTable.openPorts(reading: Array(Self.tcp.utf8), isUDP: false) == [8080])
        #expect(SocketTable.openPorts(reading: Array(Self.udp6.utf8), isUDP: true) == [53])
        #expect(SocketTable.openPorts(reading: Array(Self.tcp.utf8), isUDP: true) == [])
    }

    /// /proc/net/tcp6 of Linux 6.1: connections to 2001:db8::7 and to 9.9.9.9 in SYN-SENT.
    private static let connecting = """
          sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 7FA8C0FD000000000000000002000000:B2A0 B80D0120000000000000000007000000:0050 02 00000001:00000000 01:00000062 00000000     0        0 29561 2 0 200 0 0 1 7
           1: 0000000000000000FFFF0000027FA8C0:C8F2 0000000000000000FFFF000009090909:01BB 02 00000001:00000000 01:00000062 00000000     0        0 29562 2 0 200 0 0 1 7

        """

    @Test(
        "a connection attempt is found by its remote end",
        arguments: [("2001:db8::7", 80, 29_561), ("9.9.9.9", 443, 29_562)]
    )
    func connecting(address: String, port: UInt16, inode: UInt64) throws {
        let remote = Endpoint(address: try #require(IPAddress(address)), port: port)
        let octets = Array(Self.connecting.utf8)
        let found = SocketTable.connecting(to: remote, reading: octets, isIPv6: true)
        #expect(found == inode)
        let other = Endpoint(address: remote.address, port: 81)
        #expect(SocketTable.connecting(to: other, reading: octets, isIPv6: true) == nil)
        for end in octets.indices {
            let cut = Array(octets[..<end])
            let found = SocketTable.connecting(to: remote, reading: cut, isIPv6: true)
            #expect(found == nil || "\(inode)".hasPrefix("\(found ?? 0)"))
        }
    }

    @Test func `of a table of IPv4, too, but no connection that is established`() throws {
        let line = """
            header
               0: 027FA8C0:B2A0 09090909:0050 02 00000001:00000000 01:00000062 00000000     0        0 77 2 0

            """
        let remote = Endpoint(address: try #require(IPAddress("9.9.9.9")), port: 80)
        let octets = Array(line.utf8)
        #expect(SocketTable.connecting(to: remote, reading: octets, isIPv6: false) == 77)
        let local = Endpoint(address: .loopbackIPv4, port: 0xd5a2)
        let table = Array(Self.tcp.utf8)
        #expect(SocketTable.connecting(to: local, reading: table, isIPv6: false) == nil)
    }

    @Test func `or with a connection, if the own port is known`() throws {
        let line = """
            header
               0: 027FA8C0:B2A0 09090909:0050 01 00000001:00000000 01:00000062 00000000     0        0 78 2 0
               1: 027FA8C0:B2A1 09090909:0050 02 00000001:00000000 01:00000062 00000000     0        0 79 2 0

            """
        let remote = Endpoint(address: try #require(IPAddress("9.9.9.9")), port: 80)
        let octets = Array(line.utf8)
        let inodes = [0xb2a0, 0xb2a1, 0xb2a2].map { port in
            SocketTable.connecting(to: remote, from: port, reading: octets, isIPv6: false)
        }
        #expect(inodes == [78, 79, nil])
    }

    @Test(
        "a line that is cut short or malformed has none",
        arguments: [
            "", "   0: 0100007F:1F90", "   0: 0100007F 00000000:0000 0A x",
            "   0: 0100007F:XYZW 00000000:0000 0A x", "   0: 0100007F:10000 00000000:0000 0A x",
            "   0: 0100007F:0000 00000000:0000 0A x", "\u{0}\u{0}",
        ]
    )
    func malformed(line: String) {
        let octets = Array("header\n\(line)\n".utf8)
        #expect(SocketTable.openPorts(reading: octets, isUDP: false) == [])
    }
}
