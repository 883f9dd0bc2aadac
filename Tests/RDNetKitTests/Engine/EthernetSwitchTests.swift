import Testing

@testable import RDNetKit

@Suite("Ethernet switch")
struct EthernetSwitchTests {
    private let one = MACAddress(rawValue: 0x0200_0000_0001)
    private let two = MACAddress(rawValue: 0x0200_0000_0002)

    private func learn(_ mac: MACAddress, on port: Int, _ bridge: inout EthernetSwitch) -> Bool {
        bridge.learn(mac, on: port) != nil
    }

    @Test func `learns where an address is, and follows it (IEEE 802.1D, 7.8)`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        #expect(bridge.destination(of: one) == .flood)
        #expect(learn(one, on: 3, &bridge))
        #expect(bridge.destination(of: one) == .port(3))
        let epoch = bridge.epoch
        #expect(learn(one, on: 3, &bridge))
        #expect(bridge.epoch == epoch)
        #expect(learn(one, on: 5, &bridge))
        #expect(bridge.destination(of: one) == .port(5))
        #expect(bridge.epoch != epoch)
    }

    @Test func `tells a new address from one that moves`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        #expect(bridge.learn(one, on: 1) == .new)
        #expect(bridge.learn(one, on: 1) == .known)
        #expect(bridge.learn(two, on: 1) == .new)
        #expect(bridge.learn(one, on: 2) == .moved)
        #expect(bridge.forget(2) == [one])
        #expect(bridge.learn(one, on: 2) == .new)
    }

    @Test func `refuses group sources and the gateway's own address`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        #expect(!learn(.broadcast, on: 1, &bridge))
        #expect(!learn(MACAddress(rawValue: 0x0100_5e00_0001), on: 1, &bridge))
        #expect(!learn(.standardGateway, on: 1, &bridge))
        #expect(bridge.entries.isEmpty)
        #expect(bridge.destination(of: .standardGateway) == .gateway)
        #expect(bridge.destination(of: .broadcast) == .flood)
    }

    @Test func `forgets a port that is gone`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        #expect(learn(one, on: 1, &bridge))
        #expect(learn(two, on: 2, &bridge))
        #expect(bridge.forget(1) == [one])
        #expect(bridge.forget(1).isEmpty)
        #expect(bridge.destination(of: one) == .flood)
        #expect(bridge.destination(of: two) == .port(2))
        #expect(learn(one, on: 1, &bridge))
        #expect(bridge.destination(of: one) == .port(1))
    }

    @Test func `is bounded: the address learned first makes room, and is learned anew`() {
        var bridge = EthernetSwitch(gateway: .standardGateway)
        #expect(learn(one, on: 1, &bridge))
        for number in 0..<UInt64(10_000) {
            #expect(learn(MACAddress(rawValue: 0x0600_0000_0000 + number), on: 2, &bridge))
        }
        #expect(bridge.entries.count == EthernetSwitch.capacity)
        #expect(bridge.destination(of: one) == .flood)
        #expect(learn(one, on: 1, &bridge))
        #expect(bridge.destination(of: one) == .port(1))
        #expect(bridge.entries.count == EthernetSwitch.capacity)
        bridge.forget(2)
        #expect(bridge.entries.map { $0.mac } == [one])
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
            switch Int.random(in: 0..<50, using: &random) {
            case 0:
                let port = Int.random(in: 0..<8, using: &random)
                bridge.forget(port)
                model = model.filter { $0.value != port }
            default:
                let port = Int.random(in: 0..<8, using: &random)
                #expect(learn(mac, on: port, &bridge))
                model[mac] = port
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
            _ = guest.engine.ethernet.attach(link)
        }
        guest.forgetPackets()
    }

    private func frame(from source: MACAddress, to destination: MACAddress) -> [UInt8] {
        destination.octets + source.octets + [0x86, 0xdd] + [UInt8](repeating: 1, count: 46)
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
            ARPPacket(
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
        guest.send(guest.header(IPProtocol.icmp, to: ScriptedGuest.gateway), [])
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

    @Test func `a guest that moves to another link keeps its connection`() throws {
        let (tcp, host) = try guest.connectToService()
        others[0].sent = []
        send(frame(from: ScriptedGuest.mac, to: .standardGateway), on: others[0])
        try host.write("moved".utf8)
        try guest.settle()
        #expect(others[0].sent.count == 1)
        try tcp.expectNothing()
    }

    @Test func `no more than 64 links`() {
        var accepted = 3
        for _ in 0..<100 where guest.engine.ethernet.attach(RecordingLink()) { accepted += 1 }
        #expect(accepted == VirtualEthernet.maximumLinks)
        guest.engine.ethernet.detach(others[0])
        #expect(guest.engine.ethernet.attach(RecordingLink()))
    }
}
