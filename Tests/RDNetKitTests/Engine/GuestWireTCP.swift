@testable import RDNetKit

extension GuestWire {
    /// Control bits (RFC 9293, 3.1): from the lowest, FIN, SYN, RST, PSH, ACK.
    struct TCPFlags: OptionSet, Sendable {
        let rawValue: UInt8

        static let fin = TCPFlags(rawValue: 1 << 0)
        static let syn = TCPFlags(rawValue: 1 << 1)
        static let rst = TCPFlags(rawValue: 1 << 2)
        static let psh = TCPFlags(rawValue: 1 << 3)
        static let ack = TCPFlags(rawValue: 1 << 4)
    }

    /// The option of RFC 7323, section 3.2.
    struct Timestamps: Equatable, Sendable {
        var value: UInt32
        var echo: UInt32
    }

    /// A range of sequence numbers (RFC 2018, 3).
    struct SACKBlock: Equatable, Sendable {
        var start: SequenceNumber
        var end: SequenceNumber
    }

    /// The options that guests use.
    struct TCPOptions: Equatable, Sendable {
        var maximumSegmentSize: UInt16?
        var windowScale: UInt8?
        var sackPermitted = false
        var timestamps: Timestamps?
        var sackBlocks: [SACKBlock] = []

        /// MSS, SACK permitted, timestamps, window scale (Linux's order), SACK; NOPs to the end of
        /// the last word.
        var octets: [UInt8] {
            var octets: [UInt8] = []
            if let maximumSegmentSize {
                octets += [2, 4] + GuestWire.octets(Int(maximumSegmentSize), 2)
            }
            if sackPermitted { octets += [4, 2] }
            if let timestamps {
                if octets.count % 4 == 0 { octets += [1, 1] }
                octets += [8, 10] + GuestWire.octets(Int(timestamps.value), 4)
                octets += GuestWire.octets(Int(timestamps.echo), 4)
            }
            if let windowScale { octets += [1, 3, 3, windowScale] }
            if !sackBlocks.isEmpty {
                octets += [5, UInt8(2 + 8 * sackBlocks.count)]
                for block in sackBlocks {
                    octets += GuestWire.octets(Int(block.start.rawValue), 4)
                    octets += GuestWire.octets(Int(block.end.rawValue), 4)
                }
            }
            return octets + [UInt8](repeating: 1, count: (4 - octets.count % 4) % 4)
        }
    }

    /// A TCP header (RFC 9293, 3.1).
    struct TCP: Equatable {
        var sourcePort: UInt16
        var destinationPort: UInt16
        var sequence: SequenceNumber
        var acknowledgment: SequenceNumber
        var flags: TCPFlags
        var window: UInt16
        var options = TCPOptions()
        /// As read, options included.
        var headerLength = 20

        /// The header with a checksum of zero.
        var octets: [UInt8] {
            let options = options.octets
            var octets = GuestWire.octets(Int(sourcePort), 2)
            octets += GuestWire.octets(Int(destinationPort), 2)
            octets += GuestWire.octets(Int(sequence.rawValue), 4)
            octets += GuestWire.octets(Int(acknowledgment.rawValue), 4)
            octets += [UInt8(5 + options.count / 4) * 16, flags.rawValue]
            octets += GuestWire.octets(Int(window), 2) + [0, 0, 0, 0]
            return octets + options
        }
    }
}

extension GuestWire.TCP {
    init(reading segment: some Collection<UInt8>) throws {
        try GuestWire.demand(20, of: segment)
        func number(_ offset: Int, _ count: Int) -> Int {
            GuestWire.number(segment, offset, count)
        }
        let length = number(12, 1) / 16 * 4
        guard length >= 20, length <= segment.count else {
            throw ScriptError(description: "a TCP header of \(length) octets")
        }
        self.init(
            sourcePort: UInt16(number(0, 2)),
            destinationPort: UInt16(number(2, 2)),
            sequence: SequenceNumber(UInt32(number(4, 4))),
            acknowledgment: SequenceNumber(UInt32(number(8, 4))),
            flags: GuestWire.TCPFlags(rawValue: UInt8(number(13, 1)) & 31),
            window: UInt16(number(14, 2)),
            headerLength: length
        )
        try options.read(Array(segment.dropFirst(20).prefix(length - 20)))
    }
}

extension GuestWire.TCPOptions {
    /// Reads options; an unknown one, or one of a wrong length, is an error of the engine's.
    fileprivate mutating func read(_ octets: [UInt8]) throws {
        var rest = octets[...]
        while let kind = rest.popFirst(), kind != 0 {
            if kind == 1 { continue }
            guard let length = rest.popFirst().map(Int.init), length >= 2, rest.count >= length - 2
            else { throw ScriptError(description: "options that end within one: \(octets)") }
            let value = rest.prefix(length - 2)
            rest = rest.dropFirst(length - 2)
            let first = UInt32(GuestWire.number(value, 0, 4))
            switch (kind, length) {
            case (2, 4): maximumSegmentSize = UInt16(first)
            case (3, 3): windowScale = UInt8(first)
            case (4, 2): sackPermitted = true
            case (5, 10), (5, 18), (5, 26), (5, 34):
                for start in stride(from: 0, to: value.count, by: 8) {
                    let edges = [start, start + 4].map { GuestWire.number(value, $0, 4) }
                    sackBlocks.append(
                        GuestWire.SACKBlock(
                            start: SequenceNumber(UInt32(edges[0])),
                            end: SequenceNumber(UInt32(edges[1]))
                        )
                    )
                }
            case (8, 10):
                let echo = UInt32(GuestWire.number(value, 4, 4))
                timestamps = GuestWire.Timestamps(value: first, echo: echo)
            default:
                throw ScriptError(description: "option \(kind) of \(length) octets: \(octets)")
            }
        }
    }
}
