/// A TCP sequence number (RFC 9293, 3.4): compared and subtracted modulo 2^32.
struct SequenceNumber: Equatable, Hashable, Sendable {
    var rawValue: UInt32

    @inline(__always)
    init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }

    @inline(__always)
    static func + (number: SequenceNumber, count: Int) -> SequenceNumber {
        SequenceNumber(number.rawValue &+ UInt32(truncatingIfNeeded: count))
    }

    @inline(__always)
    static func += (number: inout SequenceNumber, count: Int) {
        number = number + count
    }

    /// The distance to `later`; negative if it is earlier.
    ///
    /// Good within ±2^31.
    @inline(__always)
    static func - (later: SequenceNumber, earlier: SequenceNumber) -> Int {
        Int(Int32(bitPattern: later.rawValue &- earlier.rawValue))
    }

    @inline(__always)
    static func < (left: SequenceNumber, right: SequenceNumber) -> Bool { left - right < 0 }
    @inline(__always)
    static func <= (left: SequenceNumber, right: SequenceNumber) -> Bool { left - right <= 0 }
    @inline(__always)
    static func > (left: SequenceNumber, right: SequenceNumber) -> Bool { left - right > 0 }
    @inline(__always)
    static func >= (left: SequenceNumber, right: SequenceNumber) -> Bool { left - right >= 0 }
}

/// Control bits of a TCP header (RFC 9293, 3.1).
struct TCPFlags: OptionSet, Sendable {
    let rawValue: UInt8

    static let fin = TCPFlags(rawValue: 1)
    static let syn = TCPFlags(rawValue: 2)
    static let rst = TCPFlags(rawValue: 4)
    static let psh = TCPFlags(rawValue: 8)
    static let ack = TCPFlags(rawValue: 16)
}

/// A half-open range of sequence numbers that a SACK option reports (RFC 2018, 3).
struct SACKBlock: Equatable, Sendable {
    /// First sequence number of the block.
    var start: SequenceNumber
    /// The sequence number after its last byte.
    var end: SequenceNumber
}

/// The Timestamps option of one segment (RFC 7323, 3.2).
struct TCPTimestampOption: Equatable, Sendable {
    /// TSval: the sender's clock.
    var value: UInt32
    /// TSecr: the echoed value of the other end; 0 in a SYN.
    var echo: UInt32
}

/// The options that the engine supports; all others are skipped by length (RFC 9293, 3.1).
struct TCPOptions: Equatable, Sendable {
    /// Maximum segment size, in a SYN only.
    var maximumSegmentSize: UInt16?
    /// Window scale shift, in a SYN only (RFC 7323, 2.2); values above 14 are read as 14.
    var windowScale: UInt8?
    /// SACK permitted, in a SYN only.
    var sackPermitted = false
    /// Both clocks, in every segment once both SYNs carried them (RFC 7323, 3.2).
    var timestamps: TCPTimestampOption?
    /// Up to four blocks; empty in nearly every segment, so the array is never allocated.
    var sackBlocks: [SACKBlock] = []
}

/// A TCP header (RFC 9293, 3.1): 20 bytes plus up to 40 bytes of options.
struct TCPHeader: Equatable {
    /// Without options.
    static let length = 20
    /// The offset of the checksum field.
    static let checksumOffset = 16

    var sourcePort: UInt16
    var destinationPort: UInt16
    var sequence: SequenceNumber
    var acknowledgment: SequenceNumber
    var flags: TCPFlags
    /// The window field, unscaled.
    var window: UInt16
    var options = TCPOptions()
    /// Length of the header as read, including options, in bytes.
    var headerLength = Self.length

    @inline(__always)
    init(
        sourcePort: UInt16,
        destinationPort: UInt16,
        sequence: SequenceNumber,
        acknowledgment: SequenceNumber,
        flags: TCPFlags,
        window: UInt16
    ) {
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.sequence = sequence
        self.acknowledgment = acknowledgment
        self.flags = flags
        self.window = window
    }

    @inline(__always)
    init(reading segment: RawSpan) throws(PacketError) {
        guard segment.byteCount >= Self.length else {
            throw .truncated(needed: Self.length, available: segment.byteCount)
        }
        headerLength = Int(segment.octet(at: 12) >> 4) * 4
        guard headerLength >= Self.length, headerLength <= segment.byteCount else {
            throw .badLength(field: headerLength, available: segment.byteCount)
        }
        sourcePort = segment.bigEndian(at: 0)
        destinationPort = segment.bigEndian(at: 2)
        sequence = SequenceNumber(segment.bigEndian(at: 4))
        acknowledgment = SequenceNumber(segment.bigEndian(at: 8))
        flags = TCPFlags(rawValue: segment.octet(at: 13) & 0x1f)
        window = segment.bigEndian(at: 14)
        if headerLength > Self.length { readOptions(segment) }
    }

    /// NOP, NOP and the Timestamps option's kind and length: so nearly every segment's options
    /// begin (RFC 7323, A).
    private static let alignedTimestamps: UInt32 = 0x0101_080a

    private mutating func readOptions(_ segment: RawSpan) {
        var offset = Self.length
        if headerLength >= Self.length + 12,
            segment.bigEndian(at: offset, as: UInt32.self) == Self.alignedTimestamps
        {
            options.timestamps = TCPTimestampOption(
                value: segment.bigEndian(at: offset + 4),
                echo: segment.bigEndian(at: offset + 8)
            )
            offset += 12
        }
        while offset < headerLength {
            let kind = segment.octet(at: offset)
            if kind == 0 { return }
            if kind == 1 {
                offset += 1
                continue
            }
            guard offset + 1 < headerLength else { return }
            let length = Int(segment.octet(at: offset + 1))
            // An impossible length ends the options, not the segment (RFC 9293, MUST-7).
            guard length >= 2, offset + length <= headerLength else { return }
            readOption(kind, segment, offset: offset, length: length)
            offset += length
        }
    }

    private mutating func readOption(_ kind: UInt8, _ segment: RawSpan, offset: Int, length: Int) {
        switch (kind, length) {
        case (2, 4): options.maximumSegmentSize = segment.bigEndian(at: offset + 2)
        case (3, 3): options.windowScale = min(segment.octet(at: offset + 2), 14)
        case (4, 2): options.sackPermitted = true
        case (8, 10):
            options.timestamps = TCPTimestampOption(
                value: segment.bigEndian(at: offset + 2),
                echo: segment.bigEndian(at: offset + 6)
            )
        case (5, 10), (5, 18), (5, 26), (5, 34):
            for block in stride(from: offset + 2, to: offset + length, by: 8) {
                options.sackBlocks.append(
                    SACKBlock(
                        start: SequenceNumber(segment.bigEndian(at: block)),
                        end: SequenceNumber(segment.bigEndian(at: block + 4))
                    )
                )
            }
        default: break
        }
    }

    /// Bytes that `write` produces: header and options, padded to a multiple of four.
    var writtenLength: Int {
        var length = Self.length
        if options.maximumSegmentSize != nil { length += 4 }
        if options.windowScale != nil { length += 4 }
        if options.sackPermitted { length += 4 }
        if options.timestamps != nil { length += 12 }
        if !options.sackBlocks.isEmpty { length += 4 + 8 * options.sackBlocks.count }
        return length
    }

    /// Writes header and options with a zero checksum field.
    @inline(__always)
    func write(to segment: inout MutableRawSpan) {
        let length = writtenLength
        segment.storeBigEndian(sourcePort, at: 0)
        segment.storeBigEndian(destinationPort, at: 2)
        segment.storeBigEndian(sequence.rawValue, at: 4)
        segment.storeBigEndian(acknowledgment.rawValue, at: 8)
        segment.storeOctet(UInt8(length / 4) << 4, at: 12)
        segment.storeOctet(flags.rawValue, at: 13)
        segment.storeBigEndian(window, at: 14)
        segment.storeBigEndian(0 as UInt32, at: 16)
        if length > Self.length { writeOptions(to: &segment) }
    }

    private func writeOptions(to segment: inout MutableRawSpan) {
        var offset = Self.length
        if let size = options.maximumSegmentSize {
            segment.storeBigEndian(0x0204_0000 | UInt32(size), at: offset)
            offset += 4
        }
        if let shift = options.windowScale {
            // NOPs align the option to a multiple of four.
            segment.storeBigEndian(0x0103_0300 | UInt32(shift), at: offset)
            offset += 4
        }
        if options.sackPermitted {
            segment.storeBigEndian(0x0101_0402 as UInt32, at: offset)
            offset += 4
        }
        if let timestamps = options.timestamps {
            segment.storeBigEndian(Self.alignedTimestamps, at: offset)
            segment.storeBigEndian(timestamps.value, at: offset + 4)
            segment.storeBigEndian(timestamps.echo, at: offset + 8)
            offset += 12
        }
        guard !options.sackBlocks.isEmpty else { return }
        let length = UInt32(2 + 8 * options.sackBlocks.count)
        segment.storeBigEndian(0x0101_0500 | length, at: offset)
        offset += 4
        for block in options.sackBlocks {
            segment.storeBigEndian(block.start.rawValue, at: offset)
            segment.storeBigEndian(block.end.rawValue, at: offset + 4)
            offset += 8
        }
    }
}
