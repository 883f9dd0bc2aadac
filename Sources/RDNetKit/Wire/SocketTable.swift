/// The kernel's table of the sockets of a network namespace: `/proc/net/tcp` and its siblings.
///
/// Each line after the first has, separated by spaces: a number and a colon, the local address and
/// port in hexadecimal, the remote one, and the state in hexadecimal. See proc_pid_net(5).
enum SocketTable {
    /// States (include/net/tcp_states.h); an unconnected UDP socket has the second one.
    private static let listening = "0A"
    private static let unconnected = "07"

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
}
