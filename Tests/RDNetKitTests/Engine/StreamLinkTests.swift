import Testing

@testable import RDNetKit

@Suite("stream link")
struct StreamLinkTests {
    private let loop: EventLoop
    private let host = FrameRecorder()
    private let guest = FrameRecorder()

    init() throws {
        loop = try EventLoop()
    }

    private func link(
        _ descriptor: consuming OwnedDescriptor,
        _ role: StreamLink.NegotiationRole,
        _ format: StreamFormat = .littleEndian16
    ) -> StreamLink {
        let configuration = StreamLink.Configuration(
            name: "test",
            format: format,
            mtu: 1500,
            role: role,
            subnet: .standard,
            mac: .standardGateway
        )
        return StreamLink(descriptor, configuration, loop: loop, log: .discarding())
    }

    private func turn(_ count: Int = 5) throws {
        for _ in 0..<count { try loop.turn(waitingAtMost: .zero) }
    }

    private func frame(_ number: Int, _ count: Int = 60) -> [UInt8] {
        [UInt8](repeating: 0x11, count: 12) + [8, 0]
            + [UInt8](repeating: UInt8(number & 255), count: count - 14)
    }

    private func send(_ octets: [UInt8], on link: StreamLink, _ header: VirtioNetHeader = .finished)
    {
        octets.withUnsafeBytes { link.send(Frame($0, header), .control) }
        link.flush(now: loop.now)
    }

    /// A negotiation message from a guest's end.
    private func negotiation(_ kind: UInt8, longest: Int = 65_535) -> [UInt8] {
        // To the address that is never forwarded, of the experimental type.
        var octets: [UInt8] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e]
        octets += MACAddress.standardGuest.octets
        octets += [0x88, 0xb5, 0x52, 0x44, 0x4e, 0x54]  // type, "RDNT"
        octets += [1, kind, 0, 0x0f]  // version, kind, all four offloads
        octets += GuestWire.octets(longest, 4)
        octets += [192, 168, 127, 0, 24]  // subnet
        return octets + [UInt8](repeating: 0, count: 29)
    }

    /// The frames of an extended stream, without their prefixes.
    private func extendedFrames(_ stream: ArraySlice<UInt8>) -> [[UInt8]] {
        var (rest, frames) = (stream, [[UInt8]]())
        while rest.count >= 14 {
            let count = Int(rest[rest.startIndex]) | Int(rest[rest.startIndex + 1]) << 8
            frames.append(Array(rest.dropFirst(14).prefix(count)))
            rest = rest.dropFirst(14 + count)
        }
        return frames
    }

    /// A relay between two links that forwards bytes in pieces of random size.
    private struct Relay {
        let left: HostPeer
        let right: HostPeer
        private var passed = [0, 0]

        init(_ left: HostPeer, _ right: HostPeer) {
            self.left = left
            self.right = right
        }

        /// Forwards one piece in each direction; returns whether anything waited.
        mutating func pass(_ random: inout SeededRandom) throws -> Bool {
            var moved = false
            for (index, pair) in [(left, right), (right, left)].enumerated() {
                pair.0.read()
                let waiting = pair.0.received.count - passed[index]
                guard waiting > 0 else { continue }
                let count = min(waiting, Int.random(in: 1...100, using: &random))
                passed[index] += try pair.1.write(
                    pair.0.received[passed[index]..<(passed[index] + count)]
                )
                moved = true
            }
            return moved
        }
    }

    private static let header = [UInt8](repeating: 2, count: 12)

    @Test(
        "a stream of another kind closes the link, which says what it is",
        arguments: [
            (.littleEndian16, [0, 0, 0, 42] + header + [8, 6], "QEMU"),
            (.littleEndian16, [0, 0, 5, 0xea] + header + [0x86, 0xdd], "QEMU"),
            (.bigEndian32, [42, 0] + header + [8, 6] + [0, 1], "gvproxy"),
            (.littleEndian16, Array("VMN3T".utf8) + [22, 0, 0, 0] + header, "VPNKit"),
            (.bigEndian32, Array("VMN3T".utf8) + [22, 0, 0, 0] + header, "VPNKit"),
            (.littleEndian16, Array("GET /stats HTTP/1.1\r\n".utf8), "HTTP"),
            (.bigEndian32, Array("POST /x HTTP/1.1\r\n\r\n".utf8), "HTTP"),
        ] as [(StreamFormat, [UInt8], String)]
    )
    func otherKind(format: StreamFormat, octets: [UInt8], kind: String) throws {
        let pair = try Socket.pair()
        let link = link(try pair.one.duplicate(), .accepting, format)
        try link.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        // A length that QEMU's framing cannot have would close the link before the rest arrives.
        let split = format == .bigEndian32 ? 0 : 6
        try peer.write(octets[..<split])
        try turn()
        #expect(!link.isClosed)
        try peer.write(octets[split...])
        try turn()
        #expect(link.isClosed)
        #expect(host.closings.count == 1)
        #expect(host.closings[0].contains(kind), "\(host.closings)")
    }

    @Test(
        "a stream of the right kind is never taken for another",
        arguments: [StreamFormat.littleEndian16, .bigEndian32],
        [0x0800, 0x1234, 0x88cc]
    )
    func rightKind(format: StreamFormat, type: Int) {
        for length in [14, 42, 60, 255, 256, 257, 1_514, 65_535] {
            let prefix =
                format == .bigEndian32
                ? GuestWire.octets(length, 4) : GuestWire.octets(length, 2).reversed()
            for octet in [0, 1, 8, 0x86, 0xff] as [UInt8] {
                let addresses = [UInt8](repeating: octet, count: 12)
                let octets = prefix + addresses + GuestWire.octets(type, 2) + [69, 0, 8, 0]
                let opening = StreamOpening(octets)
                #expect(opening != nil)
                #expect(opening?.contradiction(of: format) == nil, "\(length), \(octet)")
            }
        }
    }

    @Test(
        "the format changes behind the right frame, wherever the stream is cut",
        arguments: [UInt64](0..<40)
    )
    func negotiation(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let near = try Socket.pair()
        let far = try Socket.pair()
        let hostEnd = link(try near.one.duplicate(), .accepting)
        let guestEnd = link(try far.one.duplicate(), .offering(.all))
        var relay = Relay(HostPeer(try near.other.duplicate()), HostPeer(try far.other.duplicate()))
        try hostEnd.start(for: host, now: loop.now)
        try guestEnd.start(for: guest, now: loop.now)
        var sent = 0
        var idle = 0
        while idle < 10 {
            if sent < 60 {
                send(frame(sent, Int.random(in: 14...200, using: &random)), on: hostEnd)
                send(frame(sent, Int.random(in: 14...200, using: &random)), on: guestEnd)
                sent += 1
            }
            idle = try relay.pass(&random) || sent < 60 ? 0 : idle + 1
            try turn(1)
        }
        #expect(hostEnd.isExtended && guestEnd.isExtended)
        for receiver in [host, guest] {
            #expect(receiver.closings.isEmpty)
            #expect(receiver.frames.count == 60)
            let numbers = receiver.frames.compactMap { $0.octets.count > 14 ? $0.octets[14] : nil }
            #expect(numbers == numbers.sorted())
        }
        #expect(hostEnd.counters.malformed == 0 && guestEnd.counters.malformed == 0)
    }

    @Test func `after the negotiation unfinished frames arrive as they are`() throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .accepting)
        let guestEnd = link(try pair.other.duplicate(), .offering(.all))
        try hostEnd.start(for: host, now: loop.now)
        try guestEnd.start(for: guest, now: loop.now)
        try turn()
        var header = VirtioNetHeader()
        header.needsChecksum = true
        header.segmentation = .tcpIPv4
        header.segmentSize = 1448
        header.checksumStart = 34
        header.checksumOffset = 16
        send(frame(7, 40_000), on: hostEnd, header)
        try turn()
        #expect(guest.frames.count == 1)
        #expect(guest.frames.first?.header == header)
        expectFrames(guest.frames.map { $0.octets }, equal: [frame(7, 40_000)])
    }

    @Test func `no frame leaves that is longer than the other end has said`() throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .accepting)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        try peer.write([60, 0] + negotiation(1, longest: 9_000))
        try turn()
        let payload = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }
        let header = SuperFrame.tcpHeader(segmentSize: 1_448)
        let fitting = SuperFrame.tcp(payload: Array(payload.prefix(8_900)))
        send(SuperFrame.tcp(payload: payload), on: hostEnd, header)
        send(fitting, on: hostEnd, header)
        send(frame(1, 9_000), on: hostEnd)
        send(frame(2, 9_001), on: hostEnd)
        send(
            SuperFrame.tcp(payload: payload),
            on: hostEnd,
            SuperFrame.tcpHeader(segmentSize: 9_000)
        )
        peer.read()
        let frames = extendedFrames(peer.received.dropFirst(62))
        // This frame exceeds the peer's maximum, so it leaves as separate packets.
        #expect(frames.count == 28 + 2)
        expectBytes(frames.prefix(28).flatMap { $0.dropFirst(54) }, equals: payload)
        expectFrames(Array(frames.suffix(2)), equal: [fitting, frame(1, 9_000)])
        #expect(hostEnd.counters.dropped == 2)
    }

    @Test func `a peer that knows of no offloads gets plain frames for ever`() throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .accepting)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        try peer.write([60, 0] + frame(1))
        try turn()
        expectFrames(host.frames.map { $0.octets }, equal: [frame(1)])
        send(frame(2), on: hostEnd)
        peer.read()
        expectBytes(peer.received, equals: [60, 0] + frame(2))
        #expect(!hostEnd.isExtended)
    }

    @Test func `a negotiation message that is repeated or not this end's is counted, no more`()
        throws
    {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .accepting)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        for kind in [3, 2] as [UInt8] {
            try peer.write([60, 0] + negotiation(kind))
        }
        try peer.write([60, 0] + frame(1))
        try turn()
        #expect(hostEnd.counters.malformed == 2)
        #expect(host.frames.count == 1)
        #expect(!hostEnd.isExtended)
    }

    @Test("runts are counted and the stream goes on", arguments: 0..<14)
    func runts(length: Int) throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .accepting)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        try peer.write(
            [UInt8(length), 0] + [UInt8](repeating: 1, count: length) + [60, 0] + frame(1)
        )
        try turn()
        #expect(hostEnd.counters.malformed == 1)
        expectFrames(host.frames.map { $0.octets }, equal: [frame(1)])
    }

    @Test(
        "a frame longer than any is counted and the stream goes on",
        arguments: [65_550, 131_072]
    )
    func oversizedFrames(length: Int) throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .silent, .bigEndian32)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        let prefix = [0, UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255)]
        let octets = prefix + [UInt8](repeating: 1, count: length) + [0, 0, 0, 60] + frame(1)
        var written = 0
        for _ in 0..<20 {
            written += try peer.write(Array(octets[written...]))
            try turn()
        }
        #expect(written == octets.count)
        #expect(hostEnd.counters.malformed == 1)
        expectFrames(host.frames.map { $0.octets }, equal: [frame(1)])
    }

    @Test func `an impossible length closes the link, with a reason`() throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .silent, .bigEndian32)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        try peer.write([0, 2, 0, 1, 9, 9])
        try turn()
        #expect(hostEnd.isClosed)
        #expect(host.closings.count == 1)
        #expect(host.closings.first?.contains("131073") == true)
        #expect(hostEnd.reserve(60, .control) == nil)
    }

    @Test func `the other end going away is told once`() throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .silent)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        // The pair's own descriptor is a second one for the peer's end.
        Socket.shutDownBoth(pair.other)
        peer.close()
        try turn()
        #expect(hostEnd.isClosed)
        #expect(host.closings.count == 1)
    }

    @Test func `a slow reader fills the queue; room is announced when there is some`() throws {
        let pair = try Socket.pair()
        let hostEnd = link(try pair.one.duplicate(), .silent)
        try hostEnd.start(for: host, now: loop.now)
        let peer = HostPeer(try pair.other.duplicate())
        var sent = 0
        while hostEnd.reserve(1514, .bulk) != nil, sent < 100_000 {
            hostEnd.commit(1514, .finished)
            hostEnd.flush(now: loop.now)
            sent += 1
        }
        #expect(sent < 100_000)
        for _ in 0..<1000 where host.roomAgain == 0 {
            peer.read()
            try turn(1)
        }
        #expect(host.roomAgain == 1)
        for _ in 0..<100 where peer.received.count < sent * 1516 {
            try turn(1)
            peer.read()
        }
        #expect(peer.received.count == sent * 1516)
    }
}
