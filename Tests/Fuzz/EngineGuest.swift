/// A guest's frames, written by a codec of its own.
struct EngineGuest {
    let link: EngineLink
    let mac: [UInt8]
    let address: [UInt8]
    /// Its connections; the last one is opened by the host.
    var connections: [Connection]

    /// One end of a TCP connection, as far as a script needs to know it.
    struct Connection {
        var port: UInt16
        var remote: [UInt8] = [192, 168, 127, 254]
        var remotePort: UInt16 = 7
        /// The sequence number of the next byte, and of the next one expected.
        var next: UInt32 = 1_000
        var expected: UInt32 = 0
    }

    init(_ link: EngineLink, number: UInt8) {
        self.link = link
        mac = number == 2 ? MACAddress.standardGuest.octets : [2, 0, 0, 0, 0, number]
        address = [192, 168, 127, number]
        connections = [40_000, 40_001, 40_002, 80].map { Connection(port: $0) }
    }

    // MARK: Frames

    func frame(_ kind: UInt16, to destination: [UInt8], _ payload: [UInt8]) -> [UInt8] {
        destination + mac + octets(kind) + payload
    }

    func arp(isRequest: Bool, for target: [UInt8]) -> [UInt8] {
        let packet =
            [0, 1, 8, 0, 6, 4, 0, isRequest ? 1 : 2] + mac + address
            + [UInt8](repeating: 0, count: 6) + target
        let destination = isRequest ? [UInt8](repeating: 255, count: 6) : Self.gateway
        return frame(0x0806, to: destination, packet + [UInt8](repeating: 0, count: 18))
    }

    static let gateway = MACAddress.standardGateway.octets

    func ipv4(
        _ transport: UInt8,
        to destination: [UInt8],
        fragment: UInt16 = 0x4000,
        _ payload: [UInt8],
        from source: [UInt8]? = nil
    ) -> [UInt8] {
        let length = UInt16(truncatingIfNeeded: 20 + payload.count)
        let header: [UInt8] =
            [0x45, 0] + octets(length) + [0, 7] + octets(fragment) + [64, transport, 0, 0]
            + (source ?? address) + destination
        let isBroadcast = destination == [255, 255, 255, 255]
        let receiver = isBroadcast ? [UInt8](repeating: 255, count: 6) : Self.gateway
        return frame(0x0800, to: receiver, header + payload)
    }

    func udp(_ source: UInt16, _ destination: UInt16, _ payload: [UInt8]) -> [UInt8] {
        let length = UInt16(truncatingIfNeeded: 8 + payload.count)
        return octets(source) + octets(destination) + octets(length) + [0, 0] + payload
    }

    func tcp(
        _ connection: Connection,
        flags: UInt8,
        window: UInt16,
        options: [UInt8],
        _ payload: [UInt8]
    ) -> [UInt8] {
        let length = UInt8(5 + options.count / 4)
        let header =
            octets(connection.port) + octets(connection.remotePort) + octets(connection.next)
            + octets(connection.expected) + [length << 4, flags] + octets(window) + [0, 0, 0, 0]
        return ipv4(6, to: connection.remote, header + options + payload)
    }

    private func octets(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
        (0..<value.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    // MARK: What arrives

    /// Follows the connection that a TCP segment of the gateway belongs to.
    mutating func follow(_ frame: UnsafeRawBufferPointer) {
        guard frame.count >= 54, frame[12] == 8, frame[13] == 0, frame[14] == 0x45, frame[23] == 6
        else { return }
        func integer(_ offset: Int, _ count: Int) -> UInt32 {
            frame[offset..<(offset + count)].reduce(0) { $0 << 8 | UInt32($1) }
        }
        let port = UInt16(truncatingIfNeeded: integer(36, 2))
        guard let index = connections.firstIndex(where: { $0.port == port }) else { return }
        let (sequence, flags) = (integer(38, 4), frame[47])
        let payload = UInt32(frame.count - 34 - Int(frame[46] >> 4) * 4)
        if flags & 2 != 0 {
            connections[index].expected = sequence &+ 1
            // The host opens the last one from a port of its choice.
            guard index == connections.count - 1 else { return }
            connections[index].remote = Array(frame[26..<30])
            connections[index].remotePort = UInt16(truncatingIfNeeded: integer(34, 2))
        } else if sequence == connections[index].expected {
            connections[index].expected = sequence &+ payload &+ UInt32(flags & 1)
        }
    }
}
