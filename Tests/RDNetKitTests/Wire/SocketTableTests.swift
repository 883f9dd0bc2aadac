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
