/// The kernel's table of the sockets of a network namespace: `/proc/net/tcp` and its siblings.
///
/// Each line after the first has, separated by spaces: a number and a colon, the local address and
/// port in hexadecimal, the remote one, and the state in hexadecimal. See proc_pid_net(5).
enum SocketTable {
    /// States (include/net/tcp_states.h); an unconnected UDP socket has the second one.
    private static let listening = "0A"
    private static let unconnected = "07"
    /// ESTABLISHED and SYN-SENT.
    private static let established = "01"
    private static let connecting = "02"

    /// The ports on which sockets wait for any client.
    ///
    /// - Parameters:
    ///   - octets: The table; a line that is cut short or malformed is skipped.
    ///   - isUDP: Whether it is a table of UDP sockets.
    /// - Returns: The ports, without 0.
    static func openPorts(reading octets: [UInt8], isUDP: Bool) -> Set<UInt16> {
        let state = isUDP ? unconnected : listening
        var ports: Set<UInt16> = []
        for line in octets.split(separator: UInt8(ascii: "\n")).dropFirst() {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 4)
            guard fields.count > 3, fields[3].elementsEqual(state.utf8),
                let colon = fields[1].lastIndex(of: UInt8(ascii: ":")),
                let port = UInt16(
                    String(decoding: fields[1][(colon + 1)...], as: UTF8.self),
                    radix: 16
                ), port != 0
            else { continue }
            ports.insert(port)
        }
        return ports
    }

    /// A TCP socket that is connecting to an endpoint, or has a connection from a port to it.
    ///
    /// - Parameters:
    ///   - remote: The endpoint.
    ///   - port: The socket's own; nil for any socket that is connecting.
    ///   - octets: The table; a line that is cut short or malformed is skipped.
    ///   - isIPv6: Whether it is a table of IPv6 sockets, which also connect to IPv4 addresses.
    /// - Returns: The inode of the first such socket; nil if there is none.
    static func connecting(
        to remote: Endpoint,
        from port: UInt16? = nil,
        reading octets: [UInt8],
        isIPv6: Bool
    ) -> UInt64? {
        let own = port.map { ":\(hexadecimal($0.bigEndianOctets))" }
        let address = isIPv6 ? remote.address.ipv6Octets : remote.address.octets
        let place = Array("\(text(of: address)):\(hexadecimal(remote.port.bigEndianOctets))".utf8)
        for line in octets.split(separator: UInt8(ascii: "\n")).dropFirst() {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 10)
            guard fields.count > 9, fields[2].elementsEqual(place),
                fields[3].elementsEqual(connecting.utf8)
                    || own != nil && fields[3].elementsEqual(established.utf8),
                own.map({ fields[1].suffix($0.utf8.count).elementsEqual($0.utf8) }) ?? true
            else { continue }
            return UInt64(String(decoding: fields[9], as: UTF8.self))
        }
        return nil
    }

    /// An address as the kernel of a little-endian machine prints it: words of four bytes.
    private static func text(of address: [UInt8]) -> String {
        stride(from: 0, to: address.count, by: 4).map { start in
            hexadecimal(address[start..<(start + 4)].reversed())
        }.joined()
    }

    private static func hexadecimal(_ octets: [UInt8]) -> String {
        octets.map { octet in
            let digits = String(octet, radix: 16, uppercase: true)
            return octet < 16 ? "0" + digits : digits
        }.joined()
    }
}
