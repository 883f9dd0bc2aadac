/// The question of `up` to the child that looks for processes: who is connecting to an endpoint,
/// or has a connection to it from a port.
///
///     request: IPv6 or mapped IPv4 address 16, port 2, own port or 0 for any that is connecting 2
///     reply:   process 4, its name; one zero byte if it is unknown
///
/// Both in network order, one packet each, replies in the order of the requests.
enum ProcessQuestion {
    static let length = 20
    /// The kernel's names of processes have at most 15 bytes, those of its own threads more.
    static let maximumReply = 4 + 64

    static func octets(_ remote: Endpoint, from port: UInt16 = 0) -> [UInt8] {
        remote.address.ipv6Octets + remote.port.bigEndianOctets + port.bigEndianOctets
    }

    /// Reads a request; nil for anything else.
    static func remote(reading octets: RawSpan) -> Endpoint? {
        guard octets.byteCount == length else { return nil }
        return Endpoint(
            address: IPAddress(high: octets.bigEndian(at: 0), low: octets.bigEndian(at: 8)),
            port: octets.bigEndian(at: 16)
        )
    }

    /// Reads the own port of a request; nil for any that is connecting.
    static func port(reading octets: RawSpan) -> UInt16? {
        guard octets.byteCount == length else { return nil }
        let port: UInt16 = octets.bigEndian(at: 18)
        return port == 0 ? nil : port
    }

    static func reply(process: Int32, name: String) -> [UInt8] {
        UInt32(bitPattern: process).bigEndianOctets + name.utf8.prefix(maximumReply - 4)
    }

    /// Reads a reply as people read it: `curl (4711)`; nil if the process is unknown.
    static func process(reading reply: [UInt8]) -> String? {
        guard reply.count >= 4 else { return nil }
        let number: UInt32 = reply.span.bytes.bigEndian(at: 0)
        return "\(String(decoding: reply[4...], as: UTF8.self)) (\(number))"
    }
}
