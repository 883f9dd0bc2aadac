/// A frame of VPNKit's multiplexer, which carries many channels over one stream.
///
/// ```
/// length (16 bits)    of the frame with this field, without the payload of Data
/// command (8 bits)    1 Open, 2 Close, 3 Shutdown, 4 Data, 5 Window
/// channel (32 bits)
/// Open                kind (8 bits): 1 dedicated, 2 multiplexed; destination
/// Data                length (32 bits) of the payload, which follows the frame
/// Window              the number of bytes (64 bits) that may be sent in total
/// ```
///
/// Numbers are little-endian. A reader ignores the frame's length, as Go programs do, because the
/// fields delimit themselves. OCaml programs rely on it.
enum MultiplexFrame: Equatable {
    case open(UInt32, ForwarderDestination)
    case close(UInt32)
    case shutdown(UInt32)
    /// The header of a payload of this many bytes.
    case data(UInt32, count: UInt32)
    case window(UInt32, UInt64)

    /// The length of a Data frame's header.
    static let dataLength = 11
    /// The length of the longest frame.
    static let maximumLength = 11 + Int(UInt16.max)
    private static let multiplexed: UInt8 = 2

    /// Reads the frame at the start of the bytes.
    ///
    /// - Returns: The frame and its length; nil if the bytes end too early.
    /// - Throws: `MultiplexError` for a frame that no reader understands.
    static func read(
        _ octets: RawSpan
    ) throws(MultiplexError) -> (frame: MultiplexFrame, length: Int)? {
        guard octets.byteCount >= 3 else { return nil }
        let command = octets.octet(at: 2)
        guard (1...5).contains(command) else { throw .unknownCommand(command) }
        guard octets.byteCount >= 7 else { return nil }
        let channel: UInt32 = octets.littleEndian(at: 3)
        switch command {
        case 1: return try readOpen(octets, channel)
        case 2: return (.close(channel), 7)
        case 3: return (.shutdown(channel), 7)
        case 4:
            guard octets.byteCount >= dataLength else { return nil }
            return (.data(channel, count: octets.littleEndian(at: 7)), dataLength)
        default:
            guard octets.byteCount >= 15 else { return nil }
            return (.window(channel, octets.littleEndian(at: 7)), 15)
        }
    }

    private static func readOpen(
        _ octets: RawSpan,
        _ channel: UInt32
    ) throws(MultiplexError) -> (frame: MultiplexFrame, length: Int)? {
        guard octets.byteCount > 7 else { return nil }
        guard octets.octet(at: 7) == multiplexed else { throw .dedicatedChannel }
        do {
            let rest = octets.extracting(8..<octets.byteCount)
            guard let (destination, length) = try ForwarderDestination.read(rest) else {
                return nil
            }
            return (.open(channel, destination), 8 + length)
        } catch {
            throw .unknownDestination
        }
    }

    /// The frame in bytes; for Data, its header.
    var octets: [UInt8] {
        switch self {
        case .open(let channel, let destination):
            Self.octets(1, channel, [Self.multiplexed] + destination.octets)
        case .close(let channel): Self.octets(2, channel)
        case .shutdown(let channel): Self.octets(3, channel)
        case .data(let channel, let count): Self.octets(4, channel, count.littleEndianOctets)
        case .window(let channel, let total): Self.octets(5, channel, total.littleEndianOctets)
        }
    }

    private static func octets(
        _ command: UInt8,
        _ channel: UInt32,
        _ rest: [UInt8] = []
    ) -> [UInt8] {
        let length = UInt16(clamping: 7 + rest.count)
        return length.littleEndianOctets + [command] + channel.littleEndianOctets + rest
    }
}

/// Why a multiplexer's stream cannot be read any further.
enum MultiplexError: Error, Equatable, CustomStringConvertible {
    /// The stream starts with something else.
    case noHandshake
    case unknownCommand(UInt8)
    /// The stream would become a single connection, which no program supports.
    case dedicatedChannel
    case unknownDestination
    /// The peer opens a channel that exists.
    case channelExists(UInt32)

    var description: String {
        switch self {
        case .noHandshake: "the peer did not send the multiplexer's handshake"
        case .unknownCommand(let command): "unknown command \(command)"
        case .dedicatedChannel: "dedicated connections are not supported"
        case .unknownDestination: "unknown kind of destination"
        case .channelExists(let channel): "channel \(channel) is already open"
        }
    }
}
