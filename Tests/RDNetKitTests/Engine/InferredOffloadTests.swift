import Testing

@testable import RDNetKit

@Suite("frames with unfinished checksums and no header")
struct InferredOffloadTests {
    private let guest: ScriptedGuest
    /// The link of another guest, to which the switch forwards frames.
    private let other = RecordingLink()
    private let otherMAC = MACAddress(rawValue: 0x0200_0000_0009)
    private let otherAddress = IPAddress(ipv4: 0xc0a8_7f03)

    init() throws {
        guest = try ScriptedGuest()
        other.receiver = guest.engine
        _ = guest.engine.ethernet.attach(other, now: guest.loop.now)
        let announcement = GuestWire.ARP(
            operation: .request,
            senderMAC: otherMAC,
            senderAddress: otherAddress,
            targetMAC: MACAddress(rawValue: 0),
            targetAddress: otherAddress
        )
        guest.send(announcement, from: otherMAC, over: other)
        other.sent = []
        guest.forgetPackets()
    }

    /// The folded sum of the IPv4 pseudo-header: the content of an unfinished checksum field.
    private func pseudoSum(_ frame: [UInt8]) -> UInt16 {
        let length = Int(frame[16]) << 8 | Int(frame[17]) - 20
        let pseudo =
            Array(frame[26..<34]) + [0, frame[23], UInt8(length >> 8), UInt8(length & 255)]
        return ~PlainChecksum.of(pseudo)
    }

    /// The same frame as a kernel leaves it for a device that finishes checksums.
    private func unfinished(_ frame: [UInt8]) -> [UInt8] {
        var frame = frame
        PlainChecksum.store(pseudoSum(frame), in: &frame, at: 34 + (frame[23] == 6 ? 16 : 6))
        return frame
    }

    /// A frame from the guest with a UDP datagram and complete checksums.
    private func datagram(to remote: Endpoint, _ payload: [UInt8]) -> [UInt8] {
        guest.frame(
            guest.header(GuestWire.Transport.udp, to: remote.address),
            guest.datagram(from: 5_000, to: remote, payload)
        )
    }

    private func addressed(_ frame: [UInt8], to mac: MACAddress) -> [UInt8] {
        mac.octets + frame[6...]
    }

    // MARK: Frames to the gateway

    @Test func `a datagram is accepted, and one with a wrong checksum is not`() throws {
        let socket = try HostDatagrams()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: socket.port)
        var wrong = unfinished(datagram(to: remote, [1, 2, 3]))
        wrong[41] ^= 1
        guest.send(frame: wrong)
        #expect(guest.dropped(.badChecksum) == 1)
        guest.send(frame: unfinished(datagram(to: remote, [4, 5, 6])))
        try guest.turn(until: { try socket.receive() })
        #expect(socket.received.map { $0.payload } == [[4, 5, 6]])
        #expect(guest.dropped(.badChecksum) == 1)
    }

    @Test func `a connection is accepted, Ethernet padding or not`() throws {
        guest.serve(7)
        for padding in [0, 6] {
            let syn = SuperFrame.tcp(payload: [], flags: 2)
            var frame = MACAddress.standardGateway.octets + ScriptedGuest.mac.octets + syn[12...]
            frame.replaceSubrange(
                26..<34,
                with: ScriptedGuest.address.octets + ScriptedGuest.gateway.octets
            )
            (frame[35], frame[36], frame[37]) = (UInt8(80 + padding), 0, 7)
            guest.send(frame: unfinished(frame) + [UInt8](repeating: 0xee, count: padding))
            try guest.turn(until: { !guest.inbox.isEmpty })
            let flags = try guest.takeIPv4(GuestWire.Transport.tcp).map { $0.payload[13] }
            #expect(flags == [0x12])
        }
    }

    @Test func `a link with offload headers says so itself`() throws {
        guest.link.receivesOffloadHeaders = true
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: 9)
        guest.send(frame: unfinished(datagram(to: remote, [1])))
        #expect(guest.dropped(.badChecksum) == 1)
    }

    // MARK: Frames to another guest

    @Test func `a datagram reaches another guest with its checksum finished`() throws {
        let remote = Endpoint(address: otherAddress, port: 9)
        let finished = addressed(datagram(to: remote, Array("hello".utf8)), to: otherMAC)
        guest.send(frame: unfinished(finished))
        #expect(try other.takePackets() == [finished])
    }

    @Test func `a long TCP segment reaches another guest as packets that fit the MTU`() throws {
        let payload = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let options: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
        var frame = SuperFrame.tcp(payload: payload, options: options)
        frame.replaceSubrange(0..<12, with: otherMAC.octets + ScriptedGuest.mac.octets)
        frame.replaceSubrange(26..<34, with: ScriptedGuest.address.octets + otherAddress.octets)
        PlainChecksum.store(0, in: &frame, at: 24)
        PlainChecksum.store(PlainChecksum.of(Array(frame[14..<34])), in: &frame, at: 24)
        guest.send(frame: unfinished(frame))
        let packets = try other.takePackets()
        #expect(packets.count == 42)
        for packet in packets {
            #expect(packet.count <= 1_514)
            expectGoodChecksums(packet)
        }
        #expect(packets.flatMap { $0[66...] } == payload)
    }

    @Test func `a checksum that is complete and equals the sum by chance stays as it is`() throws {
        let remote = Endpoint(address: otherAddress, port: 9)
        var frame = addressed(datagram(to: remote, [0, 0]), to: otherMAC)
        // This payload makes the complete checksum equal the pseudo-header's sum.
        let sum = UInt32(frame[40]) << 8 | UInt32(frame[41])
        let data = (sum + UInt32(~pseudoSum(frame))) % 0xffff
        PlainChecksum.store(UInt16(data), in: &frame, at: 42)
        frame = unfinished(frame)
        expectGoodChecksums(frame)
        guest.send(frame: frame)
        #expect(other.sent.map { $0.header.needsChecksum } == [true])
        #expect(try other.takePackets() == [frame])
    }

    @Test func `a frame with a complete or a wrong checksum reaches another guest as it is`() {
        let remote = Endpoint(address: otherAddress, port: 9)
        let frame = addressed(datagram(to: remote, [1, 2, 3]), to: otherMAC)
        var wrong = frame
        wrong[41] ^= 1
        for octets in [frame, wrong] { guest.send(frame: octets) }
        expectFrames(other.sent.map { $0.octets }, equal: [frame, wrong])
        #expect(other.sent.allSatisfy { $0.header == .finished })
    }

    @Test("damaged frames are no trap", arguments: [UInt64](1...20))
    func damaged(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let whole = SuperFrame.tcp(payload: [UInt8](repeating: 7, count: 2_000))
        for _ in 0..<500 {
            var octets = Array(
                unfinished(whole).prefix(Int.random(in: 14...2_054, using: &random))
            )
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let index = Int.random(in: 12..<min(octets.count, 60), using: &random)
                octets[index] = UInt8.random(in: 0...255, using: &random)
            }
            octets.withUnsafeBytes { octets in
                let frame = InferredOffload.frame(octets, mtu: 1_500)
                #expect(frame.octets.count <= octets.count)
            }
            guest.send(frame: addressed(octets, to: otherMAC))
            guest.send(frame: addressed(octets, to: .standardGateway))
        }
    }
}
