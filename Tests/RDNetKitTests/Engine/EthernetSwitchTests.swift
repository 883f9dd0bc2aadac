import Testing

@testable import RDNetKit

@Suite("Ethernet switch")
struct EthernetSwitchTests {
    private let one = MACAddress(rawValue: 0x0200_0000_0001)
    private let two = MACAddress(rawValue: 0x0200_0000_0002)

    private func fill(_ port: Int, _ count: UInt64, _ bridge: inout EthernetSwitch) {
        for number in 0..<count {
            let mac = MACAddress(rawValue: 0x0600_0000_0000 + UInt64(port) << 16 + number)
            let lesson = bridge.learn(mac, on: port)
            #expect(lesson != .invalid && lesson != .known)
        }
    }

    @Test func `learns where an address is (IEEE 802.1D, 7.8)`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        #expect(bridge.destination(of: one) == .flood)
        #expect(bridge.learn(one, on: 3) == .new)
        #expect(bridge.destination(of: one) == .port(3))
        let epoch = bridge.epoch
        #expect(bridge.learn(one, on: 3) == .known)
        #expect(bridge.epoch == epoch)
    }

    @Test func `an address stays on its port until the port is gone`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        #expect(bridge.learn(one, on: 3) == .new)
        let epoch = bridge.epoch
        #expect(bridge.learn(one, on: 5) == .taken(port: 3))
        #expect(bridge.learn(one, on: 3) == .known)
        #expect(bridge.epoch == epoch)
        #expect(bridge.forget(3) == [one])
        #expect(bridge.learn(one, on: 5) == .new)
        #expect(bridge.destination(of: one) == .port(5))
        #expect(bridge.epoch != epoch)
    }

    @Test func `refuses group sources and the gateway's own address`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        for mac in [.broadcast, MACAddress(rawValue: 0x0100_5e00_0001), .standardGateway] {
            #expect(bridge.learn(mac, on: 1) == .invalid)
        }
        #expect(bridge.entries.isEmpty)
        #expect(bridge.destination(of: .standardGateway) == .gateway)
        #expect(bridge.destination(of: .broadcast) == .flood)
    }

    @Test func `forgets a port that is gone`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        _ = bridge.learn(one, on: 1)
        _ = bridge.learn(two, on: 2)
        #expect(bridge.forget(1) == [one])
        #expect(bridge.forget(1).isEmpty)
        #expect(bridge.destination(of: one) == .flood)
        #expect(bridge.destination(of: two) == .port(2))
        #expect(bridge.learn(one, on: 1) == .new)
    }

    @Test func `a port with too many addresses loses its own oldest one, and no other port does`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        let limit = EthernetSwitch.addressesPerPort
        _ = bridge.learn(one, on: 1)
        _ = bridge.learn(two, on: 2)
        fill(2, 10_000, &bridge)
        #expect(bridge.entries.count == limit + 1)
        #expect(bridge.destination(of: one) == .port(1))
        #expect(bridge.destination(of: two) == .flood)
        let oldest = MACAddress(rawValue: 0x0600_0002_0000 + UInt64(10_000 - limit))
        #expect(bridge.learn(two, on: 2) == .replacing(oldest))
        #expect(bridge.forget(2).count == limit)
        #expect(bridge.entries.map { $0.mac } == [one])
        fill(2, UInt64(limit), &bridge)
        #expect(bridge.entries.count == limit + 1)
    }

    @Test("agrees with a plain dictionary", arguments: [UInt64](1...5))
    func model(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var bridge = EthernetSwitch(gateway: .standardGateway)
        var model: [MACAddress: Int] = [:]
        for _ in 0..<5000 {
            let mac = MACAddress(
                rawValue: 0x0200_0000_0000 + UInt64.random(in: 0..<300, using: &random)
            )
            let port = Int.random(in: 0..<8, using: &random)
            switch Int.random(in: 0..<50, using: &random) {
            case 0:
                bridge.forget(port)
                model = model.filter { $0.value != port }
            default:
                let lesson = bridge.learn(mac, on: port)
                let expected: EthernetSwitch.Lesson =
                    model[mac].map { $0 == port ? .known : .taken(port: $0) } ?? .new
                #expect(lesson == expected, "seed \(seed)")
                if model[mac] == nil { model[mac] = port }
            }
            let other = MACAddress(
                rawValue: 0x0200_0000_0000 + UInt64.random(in: 0..<300, using: &random)
            )
            #expect(bridge.destination(of: other) == model[other].map { .port($0) } ?? .flood)
        }
    }
}

@Suite("virtual Ethernet")
struct VirtualEthernetTests {
    private let guest: ScriptedGuest
    private let others = [RecordingLink(), RecordingLink()]
    private let otherMAC = MACAddress(rawValue: 0x0200_0000_0009)

    init() throws {
        guest = try ScriptedGuest()
        for link in others {
            link.receiver = guest.engine
            _ = guest.engine.ethernet.attach(link, now: guest.loop.now)
        }
        guest.forgetPackets()
    }

    private func frame(from source: MACAddress, to destination: MACAddress) -> [UInt8] {
        destination.octets + source.octets + [0x88, 0xb6] + [UInt8](repeating: 1, count: 46)
    }

    private func send(_ octets: [UInt8], on link: RecordingLink) {
        octets.withUnsafeBytes {
            guest.engine.receive(Frame($0), from: link, now: guest.clock.now)
        }
    }

    @Test func `an unknown address is flooded to all but the sender (IEEE 802.1D, 7.7)`() {
        guest.send(frame: frame(from: ScriptedGuest.mac, to: otherMAC))
        #expect(others.map { $0.sent.count } == [1, 1])
        #expect(guest.link.sent.isEmpty)
    }

    @Test func `a learned address gets its frames alone, and they arrive as they were`() {
        send(frame(from: otherMAC, to: ScriptedGuest.mac), on: others[1])
        #expect(guest.link.sent.count == 1)
        #expect(others[0].sent.isEmpty)
        let octets = frame(from: ScriptedGuest.mac, to: otherMAC)
        guest.send(frame: octets)
        #expect(others[0].sent.isEmpty)
        #expect(others[1].sent.map { $0.octets } == [octets])
    }

    @Test func `a frame for its own port goes nowhere`() {
        send(frame(from: otherMAC, to: ScriptedGuest.mac), on: guest.link)
        #expect(others.allSatisfy { $0.sent.isEmpty })
        #expect(guest.link.sent.isEmpty)
    }

    @Test func `a group is flooded and the gateway listens too`() throws {
        guest.send(
            GuestWire.ARP(
                operation: .request,
                senderMAC: ScriptedGuest.mac,
                senderAddress: ScriptedGuest.address,
                targetMAC: MACAddress(rawValue: 0),
                targetAddress: ScriptedGuest.gateway
            )
        )
        #expect(others.map { $0.sent.count } == [1, 1])
        #expect(try guest.takeARP().count == 1)
    }

    @Test func `frames for the gateway go to no one else`() {
        guest.send(guest.header(GuestWire.Transport.icmp, to: ScriptedGuest.gateway), [])
        #expect(others.allSatisfy { $0.sent.isEmpty })
    }

    @Test func `a guest that takes the gateway's address, or a group's, is not believed`() throws {
        for source in [MACAddress.standardGateway, .broadcast] {
            send(frame(from: source, to: ScriptedGuest.mac), on: others[0])
        }
        #expect(guest.link.sent.isEmpty)
        #expect(guest.dropped(.badSource) == 2)
        #expect(try guest.ping(ScriptedGuest.gateway))
    }

    @Test func `a guest whose link is replaced keeps its connection`() throws {
        let (tcp, host) = try guest.connectToService()
        others[0].sent = []
        guest.engine.closed(guest.link, reason: "test", now: guest.clock.now)
        send(frame(from: ScriptedGuest.mac, to: .standardGateway), on: others[0])
        try host.write("moved".utf8)
        try guest.settle()
        #expect(others[0].sent.count == 1)
        try tcp.expectNothing()
    }

    @Test func `isolated guests get frames of the gateway only`() throws {
        let guest = try ScriptedGuest(isolatesGuests: true)
        let other = RecordingLink()
        other.receiver = guest.engine
        _ = guest.engine.ethernet.attach(other, now: guest.loop.now)
        frame(from: otherMAC, to: .broadcast).withUnsafeBytes {
            guest.engine.receive(Frame($0), from: other, now: guest.clock.now)
        }
        #expect(guest.link.sent.isEmpty)
        let group = MACAddress(rawValue: 0x0100_5e00_00fb)
        let unknown = MACAddress(rawValue: 0x0200_0000_0077)
        for destination in [otherMAC, unknown, group, .broadcast] {
            guest.send(frame: frame(from: ScriptedGuest.mac, to: destination))
        }
        #expect(other.sent.isEmpty)
        // What is for a group may be for the gateway alone.
        #expect(guest.dropped(.isolated) == 2)
        guest.announce()
        #expect(other.sent.isEmpty)
        #expect(try guest.ping(ScriptedGuest.gateway))
    }

    @Test func `no more than 64 links`() {
        var accepted = 3
        for _ in 0..<100 where guest.engine.ethernet.attach(RecordingLink(), now: guest.loop.now) {
            accepted += 1
        }
        #expect(accepted == VirtualEthernet.maximumLinks)
        guest.engine.ethernet.detach(others[0])
        #expect(guest.engine.ethernet.attach(RecordingLink(), now: guest.loop.now))
    }
}
