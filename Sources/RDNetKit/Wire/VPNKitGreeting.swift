/// The greeting before the first VPNKit frame: three fixed-length messages and one reply.
///
/// ```
/// client → server   49  "VMN3T", version (32 bits), commit (40 characters)
/// server → client   49  the server's own; gvproxy, and so this program, echoes the client's
/// client → server   41  command (8 bits), UUID of the machine (36 characters), 4 unused
/// server → client  258  1, MTU (16 bits), MTU + 14 (16 bits), MAC address for the VM, zeros
/// ```
///
/// Numbers are little-endian. The server ignores everything but the UUID, as gvproxy does.
enum VPNKitGreeting {
    static let helloLength = 49
    static let commandLength = 41
    static let answerLength = 258

    /// The VM's UUID in a command of `commandLength` bytes, in lower case.
    static func machine(in command: [UInt8]) -> String {
        String(decoding: command[1..<37], as: UTF8.self).lowercased()
    }

    /// The server's reply to a command.
    ///
    /// - Parameters:
    ///   - mtu: The largest IP packet; at most 65,521, so that the frame's length fits its field.
    ///   - mac: The VM's Ethernet address.
    /// - Returns: `answerLength` octets.
    static func answer(mtu: Int, mac: MACAddress) -> [UInt8] {
        var octets = [UInt8](repeating: 0, count: answerLength)
        octets[0] = 1
        for (offset, number) in [(1, mtu), (3, mtu + EthernetHeader.length)] {
            octets[offset] = UInt8(truncatingIfNeeded: number)
            octets[offset + 1] = UInt8(truncatingIfNeeded: number >> 8)
        }
        octets.replaceSubrange(5..<11, with: mac.octets)
        return octets
    }
}
