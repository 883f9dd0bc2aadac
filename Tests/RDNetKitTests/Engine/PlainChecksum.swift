import Testing

@testable import RDNetKit

/// The Internet checksum as in RFC 1071: the sum of one 16-bit word after another.
enum PlainChecksum {
    /// The checksum of some bytes; an odd last one is padded with zero.
    static func of(_ octets: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        var index = 0
        while index < octets.count {
            let low = index + 1 < octets.count ? octets[index + 1] : 0
            sum += UInt32(octets[index]) << 8 | UInt32(low)
            if sum > 0xffff { sum = (sum & 0xffff) + 1 }
            index += 2
        }
        return ~UInt16(sum)
    }

    /// The pseudo-header of TCP and UDP over IPv4.
    static func pseudoHeader(
        _ source: IPAddress,
        _ destination: IPAddress,
        _ transport: UInt8,
        _ length: Int
    ) -> [UInt8] {
        source.octets + destination.octets + [
            0, transport, UInt8(length >> 8), UInt8(length & 255),
        ]
    }

    /// Writes a checksum in network byte order.
    static func store(_ sum: UInt16, in octets: inout [UInt8], at offset: Int) {
        octets[offset] = UInt8(sum >> 8)
        octets[offset + 1] = UInt8(sum & 255)
    }
}

/// Records an issue unless every checksum of an IPv4 packet in an Ethernet frame is correct.
func expectGoodChecksums(_ frame: [UInt8]) {
    guard frame.count >= 34, frame[12] == 8, frame[13] == 0 else { return }
    let headerLength = Int(frame[14] & 15) * 4
    let total = Int(frame[16]) << 8 | Int(frame[17])
    guard total >= headerLength, frame.count >= 14 + total else {
        Issue.record("a packet of \(total) octets in a frame of \(frame.count)")
        return
    }
    let header = Array(frame[14..<(14 + headerLength)])
    #expect(PlainChecksum.of(header) == 0, "IPv4 header checksum")
    let payload = Array(frame[(14 + headerLength)..<(14 + total)])
    let isFragment = (Int(frame[20]) << 8 | Int(frame[21])) & 0x3fff != 0
    guard !isFragment else { return }
    switch frame[23] {
    case GuestWire.Transport.icmp:
        #expect(PlainChecksum.of(payload) == 0, "ICMP checksum")
    case GuestWire.Transport.tcp, GuestWire.Transport.udp:
        let pseudo =
            Array(frame[26..<34]) + [
                0, frame[23], UInt8(payload.count >> 8), UInt8(payload.count & 255),
            ]
        #expect(PlainChecksum.of(pseudo + payload) == 0, "transport checksum")
    default: break
    }
}
