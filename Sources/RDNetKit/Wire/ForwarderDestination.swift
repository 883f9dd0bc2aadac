/// Where VPNKit's forwarder connects a stream to.
///
/// ```
/// protocol (8 bits)   1 TCP, 2 UDP, 3 unix
/// TCP, UDP            length (16 bits) of the address: 4 or 16; address; port (16 bits)
/// unix                length (16 bits) of the path; path
/// ```
///
/// The address is in network byte order; all other numbers are little-endian. Go programs write an
/// IPv4 address as an IPv4-mapped IPv6 address of 16 bytes.
enum ForwarderDestination: Hashable, Sendable, CustomStringConvertible {
    case tcp(Endpoint)
    case udp(Endpoint)
    case unix(String)

    /// Reads a destination.
    ///
    /// - Parameter octets: Starts with the protocol; more bytes may follow the destination.
    /// - Returns: The destination and its length in bytes; nil if the bytes end too early.
    /// - Throws: `PacketError.notThisFormat` for an unknown protocol or address length.
    static func read(
        _ octets: RawSpan
    ) throws(PacketError) -> (destination: ForwarderDestination, length: Int)? {
        guard octets.byteCount >= 3 else { return nil }
        let length = Int(octets.littleEndian(at: 1, as: UInt16.self))
        let kind = octets.octet(at: 0)
        if kind == 3 {
            guard octets.byteCount >= 3 + length else { return nil }
            return (
                .unix(String(decoding: octets.array(3..<3 + length), as: UTF8.self)), 3 + length
            )
        }
        guard kind == 1 || kind == 2, let size = ForwarderAddress.Size(length), size != .none else {
            throw .notThisFormat
        }
        guard octets.byteCount >= 5 + length else { return nil }
        let endpoint = ForwarderAddress.endpoint(size, octets, at: 3)
        return (kind == 1 ? .tcp(endpoint) : .udp(endpoint), 5 + length)
    }

    /// The destination in bytes.
    var octets: [UInt8] {
        switch self {
        case .tcp(let endpoint): [1] + ForwarderAddress.octets(endpoint)
        case .udp(let endpoint): [2] + ForwarderAddress.octets(endpoint)
        case .unix(let path): [3] + UInt16(clamping: path.utf8.count).littleEndianOctets + path.utf8
        }
    }

    var description: String {
        switch self {
        case .tcp(let endpoint): "tcp://\(endpoint)"
        case .udp(let endpoint): "udp://\(endpoint)"
        case .unix(let path): "unix://\(path.printable)"
        }
    }
}

/// An address with its length before it and its port after it.
enum ForwarderAddress {
    /// The lengths that occur.
    enum Size: Int {
        case none = 0
        case ipv4 = 4
        case ipv6 = 16

        init?(_ length: Int) {
            self.init(rawValue: length)
        }
    }

    /// Reads an address and the port after it.
    static func endpoint(_ size: Size, _ octets: RawSpan, at offset: Int) -> Endpoint {
        let port: UInt16 = octets.littleEndian(at: offset + size.rawValue)
        switch size {
        case .none: return Endpoint(address: .anyIPv4, port: port)
        case .ipv4:
            return Endpoint(address: IPAddress(ipv4: octets.bigEndian(at: offset)), port: port)
        case .ipv6:
            let address = IPAddress(
                high: octets.bigEndian(at: offset),
                low: octets.bigEndian(at: offset + 8)
            )
            return Endpoint(address: address, port: port)
        }
    }

    /// Length, address and port; an IPv4 address has four bytes.
    static func octets(_ endpoint: Endpoint) -> [UInt8] {
        var octets: [UInt8] = []
        if let ipv4 = endpoint.address.ipv4 {
            octets = [4, 0] + ipv4.byteSwapped.littleEndianOctets
        } else {
            octets = [16, 0] + endpoint.address.high.byteSwapped.littleEndianOctets
            octets += endpoint.address.low.byteSwapped.littleEndianOctets
        }
        return octets + endpoint.port.littleEndianOctets
    }
}

extension RawSpan {
    /// Reads one little-endian integer; traps beyond the end, so callers check the length first.
    @inline(__always)
    func littleEndian<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int,
        as type: Value.Type = Value.self
    ) -> Value {
        // Sound: integers have no invalid bit patterns, and the load is bounds-checked.
        Value(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: Value.self))
    }
}
