import Testing

@testable import RDNetKit

@Suite("datagrams for a guest whose MAC address is unknown")
struct WaitingDatagramsTests {
    private let guest: ScriptedGuest
    private let source = Endpoint(address: ScriptedGuest.gateway, port: 1_000)
    private let other = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f09), port: 53)
    private let mac = MACAddress(rawValue: 0x0200_0000_0009)

    init() throws {
        guest = try ScriptedGuest()
    }

    private func send(_ payload: [UInt8]) {
        payload.withUnsafeBytes { guest.engine.udp.send($0, from: source, to: other) }
    }

    private func answerARP() {
        let reply = GuestWire.ARP(
            operation: .reply,
            senderMAC: mac,
            senderAddress: other.address,
            targetMAC: .standardGateway,
            targetAddress: ScriptedGuest.gateway
        )
        guest.send(reply, from: mac)
    }

    @Test func `the newest one is delivered once ARP answers (RFC 1122, 2.3.2.2)`() throws {
        send([1])
        send([2, 2])
        try guest.settle()
        let request = try #require(try guest.takeARP().first)
        #expect(request.destination == .broadcast)
        #expect(request.packet.targetAddress == other.address)
        #expect(try guest.takeUDP().isEmpty)
        answerARP()
        try guest.settle()
        #expect(try guest.takeUDP().map(\.payload) == [[2, 2]])
        #expect(guest.dropped(.noNeighbor) == 1)
    }

    @Test func `one that waited too long is not delivered`() throws {
        send([1])
        try guest.settle()
        try guest.advance(WaitingDatagrams.lifetime)
        answerARP()
        try guest.settle()
        #expect(try guest.takeUDP().isEmpty)
    }

    @Test func `requests are a second apart, addresses and bytes are bounded`() {
        var waiting = WaitingDatagrams()
        let start = Instant(nanoseconds: 1)
        func datagram(_ last: UInt32, _ count: Int = 1) -> WaitingDatagrams.Datagram {
            let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f00 + last), port: 1)
            return .init(source: source, guest: guest, payload: [UInt8](repeating: 0, count: count))
        }
        #expect(waiting.keep(datagram(2), now: start) == (true, 0))
        #expect(waiting.keep(datagram(2), now: start + .milliseconds(999)) == (false, 1))
        #expect(waiting.keep(datagram(2), now: start + .seconds(1)) == (true, 1))
        for number in 3..<(UInt32(WaitingDatagrams.capacity) + 2) {
            #expect(waiting.keep(datagram(number), now: start + .seconds(2)) == (true, 0))
        }
        #expect(waiting.keep(datagram(200), now: start + .seconds(2)).discarded == 1)
        let evicted = waiting.take(datagram(2).guest.address, now: start + .seconds(2))
        #expect(evicted == nil)
        let half = WaitingDatagrams.maximumBytes / 2
        #expect(waiting.keep(datagram(201, half), now: start + .seconds(2)).discarded == 1)
        let largest = waiting.keep(datagram(202, 2 * half), now: start + .seconds(2))
        #expect(largest.discarded == WaitingDatagrams.capacity)
        #expect(waiting.take(datagram(202).guest.address, now: start + .seconds(2)) != nil)
        #expect(waiting.isEmpty)
    }

    @Test(
        "what a healthy guest sends to groups is ignored, not dropped",
        arguments: [
            ("333300000002", "86dd", IgnoreReason.ipv6),
            ("333300000016", "86dd", .ipv6),
            ("01000ccccccc", "0026", .other),
            ("01005e7ffffa", "0800", .ipv4Group),
        ]
    )
    func groups(destination: String, kind: String, reason: IgnoreReason) throws {
        func bytes(_ text: String) -> [UInt8] {
            stride(from: 0, to: text.count, by: 2).compactMap {
                UInt8(text.dropFirst($0).prefix(2), radix: 16)
            }
        }
        var frame = bytes(destination) + ScriptedGuest.mac.octets + bytes(kind)
        if reason == .ipv4Group {
            let ssdp = Endpoint(address: IPAddress(ipv4: 0xefff_fffa), port: 1_900)
            frame += guest.frame(
                guest.header(GuestWire.Transport.udp, to: ssdp.address),
                guest.datagram(from: 5_000, to: ssdp, [1])
            ).dropFirst(GuestWire.ethernetLength)
        } else {
            // An IPv6 header without anything behind it: the next header is 59, "none".
            frame += [0x60, 0, 0, 0, 0, 0, 59, 255] + [UInt8](repeating: 0, count: 38)
        }
        guest.send(frame: frame)
        #expect(guest.engine.drops.total == 0)
        #expect(guest.engine.ignored[reason] == 1 && guest.engine.ignored.total == 1)
    }

    @Test func `the same to the gateway alone is dropped`() {
        let header = MACAddress.standardGateway.octets + ScriptedGuest.mac.octets + [0x86, 0xdd]
        guest.send(frame: header + [UInt8](repeating: 0, count: 46))
        #expect(guest.dropped(.unknownProtocol) == 1)
        #expect(guest.engine.ignored.total == 0)
    }
}
