/// Everything that reads Ethernet frames and what is in them, one packet or fragment at a time.
enum PacketFuzz {
    static func run(_ input: FuzzInput) {
        runFuzzCase(
            input,
            [summary, icmp, udp, headers, segments, inferred, plainOutput, fragments, negotiation]
        )
    }

    private static let mtu = 1_500

    private static func summary(_ input: inout FuzzInput) {
        let octets = input.rest()
        octets.withUnsafeBytes {
            mustHold(!FrameSummary.text(of: Frame($0)).isEmpty, "an empty summary")
        }
    }

    private static func icmp(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        _ = try ICMPMessage(reading: octets.span.bytes)
        let quoted = Array(octets[ICMPMessage.headerLength...])
        _ = try ICMPQuote(reading: quoted.span.bytes)
    }

    private static func udp(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        let packet = try UDPPacket(reading: octets.span.bytes)
        mustHold(packet.payload.count <= octets.count, "more payload than packet")
    }

    /// A header that was read, written and read again is the same.
    private static func headers(_ input: inout FuzzInput) throws {
        let kind = input.number(below: 6)
        let octets = input.rest()
        let bytes = octets.span.bytes
        var room = [UInt8](repeating: 0, count: 64)
        var fields = room.mutableSpan
        var span = fields.mutableBytes
        switch kind {
        case 0:
            let header = try EthernetHeader(reading: bytes)
            header.write(to: &span)
            try mustHold(try EthernetHeader(reading: span.bytes) == header, "\(header)")
        case 1:
            let packet = try ARPPacket(reading: bytes)
            packet.write(to: &span)
            try mustHold(try ARPPacket(reading: span.bytes) == packet, "\(packet)")
        case 2:
            var header = try IPHeader(readingIPv4: bytes)
            header.headerLength = IPHeader.lengthIPv4
            header.payloadLength = min(header.payloadLength, 64 - IPHeader.lengthIPv4)
            header.write(to: &span)
            try mustHold(try IPHeader(readingIPv4: span.bytes) == header, "\(header)")
        case 5:
            let header = try IPHeader(readingIPv6: bytes)
            let end = header.headerLength + header.payloadLength
            mustHold(header.payloadLength >= 0 && end <= octets.count, "\(header)")
        case 3:
            var header = try TCPHeader(reading: bytes)
            guard header.writtenLength <= 60 else { return }
            header.write(to: &span)
            header.headerLength = header.writtenLength
            try mustHold(try TCPHeader(reading: span.bytes) == header, "\(header)")
        default:
            let header = try VirtioNetHeader(reading: bytes)
            header.write(to: &span)
            try mustHold(try VirtioNetHeader(reading: span.bytes) == header, "\(header)")
        }
    }

    /// Segments are as long as they say, and together they are the frame's payload.
    private static func segments(_ input: inout FuzzInput) throws {
        let header = input.offload()
        let octets = input.rest()
        try octets.withUnsafeBytes { frame in
            let segments = try FrameSegments(frame, header)
            for index in 0..<min(segments.count, 64) {
                let length = segments.length(of: index)
                mustHold(length <= segments.maximumLength, "segment \(index): \(length)")
                var packet = [UInt8](repeating: 0, count: length)
                packet.withUnsafeMutableBytes { segments.write(index, to: $0) }
            }
        }
    }

    /// An inferred checksum is inside the frame.
    private static func inferred(_ input: inout FuzzInput) {
        let octets = input.rest()
        octets.withUnsafeBytes { octets in
            let frame = InferredOffload.frame(octets, mtu: mtu)
            mustHold(frame.octets.count <= octets.count, "a longer frame")
            guard frame.header.needsChecksum else { return }
            var copy = Array(frame.octets)
            let isComplete = copy.withUnsafeMutableBytes {
                FrameChecksum.complete($0, frame.header)
            }
            mustHold(isComplete, "the checksum is outside of the frame")
        }
    }

    /// A plain stream carries no super-frame, whatever its header says.
    private static func plainOutput(_ input: inout FuzzInput) throws {
        let header = input.offload()
        let octets = input.rest()
        guard octets.count >= EthernetHeader.length else { return }
        var output = StreamOutput(format: .littleEndian16, mtu: mtu)
        guard let room = output.reserve(octets.count, .bulk) else { return }
        octets.withUnsafeBytes { room.copyMemory(from: $0) }
        let count = output.commit(octets.count, header)
        var frames = 0
        try output.drain { (queued) throws(SystemError) in
            var rest = queued[...]
            while let low = rest.popFirst(), let high = rest.popFirst() {
                frames += 1
                let length = Int(high) << 8 | Int(low)
                mustHold(length <= rest.count, "frame \(frames) of \(length) bytes is cut")
                let isSegment = header.segmentation != .none && frames <= count
                mustHold(!isSegment || length <= octets.count, "a segment grew to \(length)")
                rest = rest.dropFirst(length)
            }
            return queued.count
        }
        mustHold(frames == count, "\(frames) frames for \(count)")
    }

    /// Fragments in any order: what is complete has every byte once, and nothing stays for long.
    private static func fragments(_ input: inout FuzzInput) {
        var reassembler = FragmentReassembler()
        var now = Instant(nanoseconds: 0)
        while !input.isEmpty {
            var header = IPHeader(
                transport: IPProtocol.udp,
                source: IPAddress(ipv4: 0xc0a8_7f02),
                destination: IPAddress(ipv4: 0xc0a8_7ffe),
                payloadLength: 0,
                identification: UInt32(input.octet())
            )
            let place = input.integer16()
            header.moreFragments = place & 0x2000 != 0
            header.fragmentOffset = Int(place & 0x1fff) * 8
            let payload = [UInt8](repeating: 7, count: Int(input.octet()) * 8 + Int(place >> 14))
            header.payloadLength = payload.count
            let outcome = payload.withUnsafeBytes { reassembler.receive(header, $0, now: now) }
            if case .complete(_, let whole) = outcome {
                mustHold(whole.count <= 65_515 && whole.allSatisfy { $0 == 7 }, "no packet")
            }
            now = now + .milliseconds(100)
            _ = reassembler.expire(now: now)
        }
        _ = reassembler.expire(now: now + FragmentReassembler.lifetime)
        mustHold(reassembler.isEmpty, "a packet outlives its time")
    }

    private static func negotiation(_ input: inout FuzzInput) throws {
        let octets = input.rest()
        let message = try OffloadMessage(reading: octets.span.bytes)
        var room = [UInt8](repeating: 0, count: OffloadMessage.length)
        var fields = room.mutableSpan
        var span = fields.mutableBytes
        message.write(to: &span, source: .standardGateway)
        try mustHold(try OffloadMessage(reading: span.bytes) == message, "\(message)")
    }
}
