@testable import RDNetKit

/// Frames that are larger than a packet.
enum SuperFrame {
    /// Returns a TCP super-frame over IPv4 as the engine makes it, checksum unfinished.
    static func tcp(payload: [UInt8], flags: UInt8 = 0x18, options: [UInt8] = []) -> [UInt8] {
        var ip: [UInt8] = [
            0x45, 0, 0, 0, 0xff, 0xfe, 0x40, 0, 64, 6, 0, 0,
            192, 168, 127, 1, 192, 168, 127, 2,
        ]
        let tcp: [UInt8] = [
            0, 80, 0x9c, 0x40,  // ports
            0xff, 0xff, 0xff, 0x00,  // a sequence number that wraps inside the frame
            0, 0, 0, 7, UInt8((20 + options.count) / 4) << 4, flags, 1, 0, 0xab, 0xcd, 0, 0,
        ]
        let total = ip.count + tcp.count + options.count + payload.count
        ip[2] = UInt8(total >> 8)
        ip[3] = UInt8(total & 255)
        PlainChecksum.store(PlainChecksum.of(ip), in: &ip, at: 10)
        return MACAddress.standardGuest.octets + MACAddress.standardGateway.octets + [8, 0] + ip
            + tcp + options + payload
    }

    /// Returns the offload header of a TCP frame that needs segmentation.
    static func tcpHeader(segmentSize: UInt16) -> VirtioNetHeader {
        var header = VirtioNetHeader()
        header.needsChecksum = true
        header.segmentation = .tcpIPv4
        header.segmentSize = segmentSize
        header.checksumStart = 34
        header.checksumOffset = 16
        return header
    }
}
