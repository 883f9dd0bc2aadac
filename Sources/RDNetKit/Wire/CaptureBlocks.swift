/// The blocks of a pcapng file, little-endian (draft-ietf-opsawg-pcapng).
///
/// Every block begins with its kind and its length, and ends with its length again.
enum CaptureBlocks {
    /// Where a packet came from, as its flags say it (section 4.3.1).
    enum Direction: UInt32 {
        case fromGuest = 1
        case toGuest = 2
    }

    /// The kinds of blocks.
    private enum Kind {
        static let section: UInt32 = 0x0a0d_0d0a
        static let interface: UInt32 = 1
        static let names: UInt32 = 4
        static let packet: UInt32 = 6
    }

    /// The options that this program writes; a zero ends the list.
    private enum Option {
        static let comment: UInt16 = 1
        static let interfaceName: UInt16 = 2
        static let packetFlags: UInt16 = 2
        static let application: UInt16 = 4
        static let lostPackets: UInt16 = 4
    }

    /// LINKTYPE_ETHERNET.
    private static let linkType: UInt32 = 1
    /// The bytes of a packet's block before the packet.
    static let packetHeaderLength = 28
    /// The end of the options, and the length of the block.
    private static let trailerLength = 8

    /// The start of a file.
    static func section(application: String) -> [UInt8] {
        block(Kind.section) { octets in
            append(0x1a2b_3c4d, to: &octets)
            octets += [1, 0, 0, 0]
            // The length of the section is not known.
            octets += [UInt8](repeating: 0xff, count: 8)
            append(option: Option.application, Array(application.utf8), to: &octets)
            append(0, to: &octets)
        }
    }

    /// The description of the next interface; the first has the number 0.
    static func interface(named name: String) -> [UInt8] {
        block(Kind.interface) { octets in
            append(linkType, to: &octets)
            // No limit on the captured bytes.
            append(0, to: &octets)
            append(option: Option.interfaceName, Array(name.utf8), to: &octets)
            append(0, to: &octets)
        }
    }

    /// The names of addresses, one for each.
    static func names(_ entries: [(address: IPAddress, name: String)]) -> [UInt8] {
        block(Kind.names) { octets in
            for entry in entries {
                let value = entry.address.octets + Array(entry.name.utf8) + [0]
                append(option: entry.address.isIPv4 ? 1 : 2, value, to: &octets)
            }
            append(0, to: &octets)
        }
    }

    /// Begins a packet's block; the packet follows, and then `finishPacket`.
    ///
    /// - Parameters:
    ///   - microseconds: Since 1970.
    ///   - interface: The number of its description.
    ///   - length: Bytes of the packet.
    ///   - octets: Receives the start of the block.
    static func beginPacket(
        microseconds: Int64,
        interface: UInt32,
        length: Int,
        to octets: inout [UInt8]
    ) {
        let time = UInt64(bitPattern: microseconds)
        append(Kind.packet, to: &octets)
        append(0, to: &octets)
        append(interface, to: &octets)
        append(UInt32(truncatingIfNeeded: time >> 32), to: &octets)
        append(UInt32(truncatingIfNeeded: time), to: &octets)
        append(UInt32(truncatingIfNeeded: length), to: &octets)
        append(UInt32(truncatingIfNeeded: length), to: &octets)
    }

    /// Ends a packet's block.
    ///
    /// - Parameters:
    ///   - start: The index of the block's first byte.
    ///   - direction: Where the packet came from.
    ///   - lost: How many packets before it are missing.
    ///   - octets: Ends with the packet; receives the rest of the block.
    static func finishPacket(
        from start: Int,
        _ direction: Direction,
        lost: UInt64,
        in octets: inout [UInt8]
    ) {
        pad(&octets, from: start)
        octets += [UInt8(Option.packetFlags), 0, 4, 0]
        append(direction.rawValue, to: &octets)
        if lost > 0 {
            octets += [UInt8(Option.lostPackets), 0, 8, 0]
            append(UInt32(truncatingIfNeeded: lost), to: &octets)
            append(UInt32(truncatingIfNeeded: lost >> 32), to: &octets)
        }
        append(0, to: &octets)
        finish(from: start, in: &octets)
    }

    /// Adds a comment to a finished packet's block, wherever it is among others.
    ///
    /// - Parameters:
    ///   - comment: For people.
    ///   - start: The index of the block's first byte.
    ///   - octets: Contains the block.
    static func add(comment: String, toPacketAt start: Int, in octets: inout [UInt8]) {
        let length = Int(word(at: start + 4, in: octets))
        var option: [UInt8] = []
        append(option: Option.comment, Array(comment.utf8), to: &option)
        let end = start + length - trailerLength
        octets.insert(contentsOf: option, at: end)
        let total = UInt32(truncatingIfNeeded: length + option.count)
        put(total, at: start + 4, in: &octets)
        put(total, at: start + Int(total) - 4, in: &octets)
    }

    // MARK: Parts

    private static func block(_ kind: UInt32, _ body: (inout [UInt8]) -> Void) -> [UInt8] {
        var octets: [UInt8] = []
        append(kind, to: &octets)
        append(0, to: &octets)
        body(&octets)
        finish(from: 0, in: &octets)
        return octets
    }

    /// Writes the length of a block at both of its ends.
    private static func finish(from start: Int, in octets: inout [UInt8]) {
        let length = UInt32(truncatingIfNeeded: octets.count - start + 4)
        append(length, to: &octets)
        put(length, at: start + 4, in: &octets)
    }

    private static func append(
        option: UInt16,
        _ value: [UInt8],
        to octets: inout [UInt8]
    ) {
        let value = value.prefix(0xffff)
        append(UInt32(option) | UInt32(value.count) << 16, to: &octets)
        octets += value
        pad(&octets, from: octets.count - value.count)
    }

    private static func pad(_ octets: inout [UInt8], from start: Int) {
        while (octets.count - start) % 4 != 0 { octets.append(0) }
    }

    private static func append(_ value: UInt32, to octets: inout [UInt8]) {
        for shift: UInt32 in [0, 8, 16, 24] {
            octets.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    private static func put(_ value: UInt32, at index: Int, in octets: inout [UInt8]) {
        for byte in 0..<4 {
            octets[index + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))
        }
    }

    private static func word(at index: Int, in octets: [UInt8]) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(octets[index + $1]) << UInt32(8 * $1) }
    }
}
