import Testing

@testable import RDNetKit

/// A UDP forward to a guest whose service may listen in one family only.
@Suite("datagrams of a forward")
struct ForwardedDatagramTests {
    private let guest: IPv6Guest
    private let receiver = Receiver()
    private let service = Endpoint(address: ScriptedGuest.address, port: 53)
    private let serviceIPv6 = Endpoint(address: IPv6Guest.address, port: 53)

    /// Keeps what it receives.
    private final class Receiver: GuestDatagramReceiver {
        private(set) var received: [[UInt8]] = []
        private(set) var refusals = 0

        func receiveFromGuest(_ payload: UnsafeRawBufferPointer, now: Instant) {
            received.append(Array(payload))
        }

        func giveWay() {}
        func guestRefused(now: Instant) { refusals += 1 }
    }

    /// A datagram that the gateway sent to the guest.
    private struct Datagram {
        /// From the IP header on.
        var packet: [UInt8]
        var isIPv4: Bool { packet[0] >> 4 == 4 }
        private var udp: ArraySlice<UInt8> { packet[(isIPv4 ? 20 : 40)...] }
        /// The gateway's port.
        var port: UInt16 { UInt16(GuestWire.number(Array(udp), 0, 2)) }
        var payload: [UInt8] { Array(udp.dropFirst(8)) }
    }

    init() throws {
        guest = try IPv6Guest()
    }

    /// Sends a packet from which the engine learns the guest's IPv6 address.
    private func announceIPv6() throws {
        guest.sendICMP(128, [0, 1, 0, 1], to: IPv6Guest.gateway)
        #expect(try guest.take().contains { $0.type == 129 })
    }

    private func open(to endpoint: Endpoint) throws -> any GuestDatagramPort {
        try #require(guest.guest.engine.openDatagramPort(to: endpoint, receiver: receiver))
    }

    private func send(_ payload: [UInt8], over port: any GuestDatagramPort) {
        payload.withUnsafeBytes { port.send($0) }
    }

    private func takeDatagrams() throws -> [Datagram] {
        try guest.guest.settle()
        return try guest.guest.take { frame in
            let packet = Array(frame[14...])
            switch GuestWire.number(frame, 12, 2) {
            case 0x0800: return packet[9] == 17 ? Datagram(packet: packet) : nil
            case 0x86dd: return packet[6] == 17 ? Datagram(packet: packet) : nil
            default: return nil
            }
        }
    }

    private func takeDatagram() throws -> Datagram {
        let datagrams = try takeDatagrams()
        #expect(datagrams.count == 1)
        return try #require(datagrams.first)
    }

    /// Reports that nobody listens on the port that a datagram was for.
    private func refuse(_ datagram: Datagram) {
        let quoted = Array(datagram.packet.prefix(548))
        if datagram.isIPv4 {
            guest.guest.send(
                guest.guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway),
                ScriptedGuest.icmp(.destinationUnreachable(.port), rest: 0, quoted)
            )
        } else {
            guest.sendICMP(1, code: 4, [0, 0, 0, 0] + quoted, to: IPv6Guest.gateway)
        }
    }

    private func answer(_ payload: [UInt8], to datagram: Datagram) {
        guard !datagram.isIPv4 else {
            let gateway = Endpoint(address: ScriptedGuest.gateway, port: datagram.port)
            return guest.guest.sendUDP(from: 53, to: gateway, payload)
        }
        let gateway = Endpoint(address: IPv6Guest.gateway, port: datagram.port)
        let octets = IPv6Guest.datagram(payload, from: serviceIPv6, to: gateway)
        guest.send(IPv6Guest.Next.udp, octets, to: gateway.address)
    }

    @Test("a datagram that the guest refuses goes to its other address", arguments: [false, true])
    func otherFamily(startsWithIPv6: Bool) throws {
        try announceIPv6()
        let port = try open(to: startsWithIPv6 ? serviceIPv6 : service)
        send([1, 2, 3], over: port)
        let first = try takeDatagram()
        #expect(first.isIPv4 == !startsWithIPv6 && first.payload == [1, 2, 3])
        refuse(first)
        let second = try takeDatagram()
        #expect(second.isIPv4 == startsWithIPv6 && second.payload == [1, 2, 3])
        answer([4], to: second)
        send([5], over: port)
        let third = try takeDatagram()
        #expect(third.isIPv4 == startsWithIPv6 && third.payload == [5])
        #expect(receiver.received == [[4]] && receiver.refusals == 0)
        // The first address has no port any more.
        answer([6], to: first)
        #expect(receiver.received == [[4]])
    }

    @Test func `the refusal of both addresses is reported once`() throws {
        try announceIPv6()
        let port = try open(to: service)
        send([1], over: port)
        for _ in 0..<2 {
            #expect(receiver.refusals == 0)
            refuse(try takeDatagram())
        }
        #expect(receiver.refusals == 1)
        #expect(try takeDatagrams().isEmpty)
        port.close()
    }

    @Test func `an address that has answered is not left`() throws {
        try announceIPv6()
        let port = try open(to: service)
        send([1], over: port)
        let datagram = try takeDatagram()
        answer([2], to: datagram)
        refuse(datagram)
        #expect(receiver.refusals == 1)
        #expect(try takeDatagrams().isEmpty)
        port.close()
    }

    @Test func `a guest with one family only has no other address`() throws {
        let port = try open(to: service)
        send([1], over: port)
        refuse(try takeDatagram())
        #expect(receiver.refusals == 1)
        #expect(try takeDatagrams().isEmpty)
        port.close()
    }

    @Test func `a guest that uses IPv6 only is reached there at once`() throws {
        guest.guest.engine.ethernet.neighbors = NeighborTable()
        try announceIPv6()
        let port = try open(to: service)
        send([1], over: port)
        #expect(try !takeDatagram().isIPv4)
        port.close()
    }

    @Test func `of several datagrams the first is sent again, and a long one is not kept`() throws {
        try announceIPv6()
        let port = try open(to: service)
        send([UInt8](repeating: 9, count: 60_000), over: port)
        _ = try takeDatagrams()
        for number in [1, 2] as [UInt8] { send([number], over: port) }
        let datagrams = try takeDatagrams()
        #expect(datagrams.map(\.payload) == [[1], [2]])
        datagrams.forEach(refuse)
        #expect(try takeDatagram().payload == [1])
        #expect(receiver.refusals == 0)
    }
}
