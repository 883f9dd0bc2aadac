import Testing

@testable import RDNetKit

@Suite("segmentation in software")
struct FrameSegmentsTests {
    private func cut(
        _ frame: [UInt8],
        _ kind: VirtioNetHeader.Segmentation,
        size: UInt16,
        start: UInt16 = 34
    )
        throws -> [[UInt8]]
    {
        var header = VirtioNetHeader()
        header.needsChecksum = true
        header.segmentation = kind
        header.segmentSize = size
        header.checksumStart = start
        return try frame.withUnsafeBytes { whole in
            let segments = try FrameSegments(whole, header)
            return (0..<segments.count).map { index in
                var packet = [UInt8](repeating: 0xee, count: segments.length(of: index))
                #expect(packet.count <= segments.maximumLength)
                packet.withUnsafeMutableBytes { segments.write(index, to: $0) }
                return packet
            }
        }
    }

    private func number(_ octets: [UInt8], at offset: Int, _ count: Int) -> Int {
        octets[offset..<(offset + count)].reduce(0) { $0 << 8 | Int($1) }
    }

    @Test(
        "every packet has its own length, number, sequence and checksums",
        arguments: [1, 536, 1460, 4096, 9999, 10_000]
    )
    func tcp(size: Int) throws {
        let payload = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        // ACK, PSH, FIN, CWR.
        let packets = try cut(
            SuperFrame.tcp(payload: payload, flags: 0x99),
            .tcpIPv4,
            size: UInt16(size)
        )
        #expect(packets.count == (10_000 + size - 1) / size)
        expectBytes(packets.flatMap { $0[54...] }, equals: payload)
        for (index, packet) in packets.enumerated() {
            expectGoodChecksums(packet)
            #expect(number(packet, at: 16, 2) == packet.count - 14)
            #expect(number(packet, at: 18, 2) == (0xfffe + index) & 0xffff)
            #expect(number(packet, at: 38, 4) == (0xffff_ff00 + index * size) & 0xffff_ffff)
            // FIN and PSH only on the last segment, CWR only on the first (RFC 3168, 6.1.2).
            let isLast = index == packets.count - 1
            #expect(packet[47] == 0x10 | (isLast ? 0x09 : 0) | (index == 0 ? 0x80 : 0))
        }
    }

    @Test func `options are repeated in every packet`() throws {
        let options: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
        let frame = SuperFrame.tcp(payload: [UInt8](repeating: 5, count: 3000), options: options)
        let packets = try cut(frame, .tcpIPv4, size: 1448)
        #expect(packets.count == 3)
        for packet in packets {
            expectGoodChecksums(packet)
            #expect(Array(packet[54..<66]) == options)
        }
    }

    @Test func `UDP becomes datagrams, each with its length and checksum`() throws {
        var frame = SuperFrame.tcp(payload: [])
        frame[23] = 17
        frame.removeSubrange(34...)
        frame += [0, 53, 0, 99, 0, 0, 0, 0] + (0..<2500).map { UInt8(truncatingIfNeeded: $0) }
        PlainChecksum.store(UInt16(frame.count - 14), in: &frame, at: 16)
        PlainChecksum.store(0, in: &frame, at: 24)
        PlainChecksum.store(PlainChecksum.of(Array(frame[14..<34])), in: &frame, at: 24)
        let packets = try cut(frame, .udp, size: 1000)
        #expect(packets.map { $0.count - 42 } == [1000, 1000, 500])
        expectBytes(packets.flatMap { $0[42...] }, equals: frame[42...])
        for packet in packets {
            expectGoodChecksums(packet)
            #expect(number(packet, at: 38, 2) == packet.count - 34)
        }
    }

    @Test func `TCP over IPv6 is cut too`() throws {
        let source = (0..<16).map { UInt8($0 + 1) }
        let destination = (0..<16).map { UInt8(0xf0 + $0) }
        let tcp = Array(SuperFrame.tcp(payload: [])[34...])
        let payload = (0..<3000).map { UInt8(truncatingIfNeeded: $0) }
        let frame =
            [UInt8](repeating: 2, count: 12) + [0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64] + source
            + destination + tcp + payload
        let packets = try cut(frame, .tcpIPv6, size: 1400, start: 54)
        #expect(packets.map { $0.count - 74 } == [1400, 1400, 200])
        for packet in packets {
            #expect(number(packet, at: 18, 2) == packet.count - 54)
            let segment = Array(packet[54...])
            let pseudo =
                source + destination + [
                    0, 0, UInt8(segment.count >> 8), UInt8(segment.count & 255),
                ]
                + [0, 0, 0, 6]
            #expect(PlainChecksum.of(pseudo + segment) == 0)
        }
    }

    @Test("frames that contradict their header are refused, never trapped on", arguments: 0..<400)
    func lies(length: Int) throws {
        var random = SeededRandom(seed: UInt64(length))
        var frame = Array(SuperFrame.tcp(payload: [UInt8](repeating: 1, count: 400)).prefix(length))
        for kind in [VirtioNetHeader.Segmentation.tcpIPv4, .tcpIPv6, .udp] {
            if frame.count > 14 {
                frame[Int.random(in: 14..<frame.count, using: &random)] = random.next(
                    upperBound: 255
                )
            }
            if frame.count > 47, kind == .tcpIPv6 {
                frame[12] = 0x86
                frame[13] = 0xdd
            }
            do {
                let size = UInt16.random(in: 0...200, using: &random)
                let start = UInt16.random(in: 0...600, using: &random)
                _ = try cut(frame, kind, size: size, start: start)
            } catch is PacketError {
                continue
            }
        }
    }

    @Test func `a checksum is completed where the header says, or not at all`() {
        var frame = SuperFrame.tcp(payload: Array("hello".utf8))
        let pseudo = PlainChecksum.pseudoHeader(
            IPAddress(ipv4: 0xc0a8_7f01),
            IPAddress(ipv4: 0xc0a8_7f02),
            6,
            25
        )
        PlainChecksum.store(~PlainChecksum.of(pseudo), in: &frame, at: 50)
        var header = VirtioNetHeader()
        header.needsChecksum = true
        header.checksumStart = 34
        header.checksumOffset = 16
        let isComplete = frame.withUnsafeMutableBytes { FrameChecksum.complete($0, header) }
        #expect(isComplete)
        expectGoodChecksums(frame)
        for (start, offset) in [(34, 60), (70, 0), (65_535, 65_535), (59, 0)] as [(UInt16, UInt16)]
        {
            header.checksumStart = start
            header.checksumOffset = offset
            let before = frame
            let completed = frame.withUnsafeMutableBytes { FrameChecksum.complete($0, header) }
            #expect(!completed || Int(start) + Int(offset) + 2 <= frame.count)
            if !completed { expectBytes(frame, equals: before) }
        }
    }
}
