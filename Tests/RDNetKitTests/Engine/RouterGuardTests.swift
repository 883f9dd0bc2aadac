import Testing

@testable import RDNetKit

/// Two guests on one switch that speak IPv6, with every byte of a packet written here.
@Suite("a guest that acts as a router, or as another guest, in IPv6")
final class RouterGuardTests {
    private let scene: ScriptedGuest
    private let attacker = RecordingLink()
    private let attackerMAC = MACAddress(rawValue: 0x0200_0000_000a)
    /// fe80::1 and fe80::a, the last byte of each.
    private let (victim, own): (UInt8, UInt8) = (1, 0xa)

    init() throws {
        scene = try ScriptedGuest()
        attacker.receiver = scene.engine
        _ = scene.engine.ethernet.attach(attacker, now: scene.loop.now)
    }

    private static func address(_ last: UInt8) -> [UInt8] {
        [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [last]
    }

    /// Sends an IPv6 packet to all nodes; returns whether the other guest received it.
    private func send(
        _ next: UInt8,
        _ payload: [UInt8],
        source: UInt8? = nil,
        fromVictim: Bool = false
    ) -> Bool {
        let (sender, receiver) = fromVictim ? (scene.link, attacker) : (attacker, scene.link)
        let mac = fromVictim ? ScriptedGuest.mac : attackerMAC
        let last = source ?? (fromVictim ? victim : own)
        let length = [UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        let header: [UInt8] = [0x60, 0, 0, 0] + length + [next, 255] + Self.address(last)
        let group: [UInt8] = [0xff, 2] + [UInt8](repeating: 0, count: 13) + [1]
        let frame =
            [0x33, 0x33, 0, 0, 0, 1] + mac.octets + [0x86, 0xdd] + header + group + payload
        receiver.sent = []
        frame.withUnsafeBytes {
            scene.engine.receive(Frame($0), from: sender, now: scene.clock.now)
        }
        return !receiver.sent.isEmpty
    }

    /// Creates an ICMPv6 message of a type with an address in it.
    private func message(_ type: UInt8, about last: UInt8) -> [UInt8] {
        [type, 0, 0, 0, 0x20, 0, 0, 0] + Self.address(last)
    }

    /// Extension headers with the numbers that lead to them and the chain's first number.
    private static let chains: [(first: UInt8, headers: [UInt8])] = [
        (58, []),
        // Hop-by-hop options, 8 bytes.
        (0, [58, 0, 1, 4, 0, 0, 0, 0]),
        // Destination options, 16 bytes, then a routing header.
        (60, [43, 1, 1, 12] + [UInt8](repeating: 0, count: 12) + [58, 0, 0, 0, 0, 0, 0, 0]),
        // The first fragment.
        (44, [58, 0, 0, 1, 0, 0, 0, 7]),
        // An authentication header of 12 bytes.
        (51, [58, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
    ]

    @Test("router advertisements and redirects reach nobody", arguments: 0..<5)
    func routerMessages(chain: Int) {
        let (first, headers) = Self.chains[chain]
        for type: UInt8 in [134, 137] {
            #expect(!send(first, headers + message(type, about: own)))
        }
        #expect(scene.dropped(.routerMessage) == 2)
        // Router and neighbor solicitations, echo requests.
        for type: UInt8 in [133, 135, 128] {
            #expect(send(first, headers + message(type, about: own)))
        }
    }

    @Test func `headers that could hide a router advertisement are refused`() {
        // Cut short, in a chain without end, and behind the first fragment's end.
        #expect(!send(58, []))
        #expect(!send(0, [58, 0]))
        #expect(!send(44, [60, 0, 0, 1, 0, 0, 0, 7]))
        let endless = (0..<12).flatMap { _ in [60, 0, 1, 4, 0, 0, 0, 0] as [UInt8] }
        #expect(!send(60, endless + [58, 0, 1, 4, 0, 0, 0, 0] + message(134, about: own)))
        #expect(scene.dropped(.routerMessage) == 4)
        // A later fragment, which has no headers.
        #expect(send(44, [58, 0, 0, 8, 0, 0, 0, 7, 134, 0]))
    }

    @Test func `messages of a DHCPv6 server reach nobody, those of a client do`() {
        #expect(!send(17, [2, 35, 2, 34, 0, 8, 0, 0]))
        #expect(send(17, [2, 34, 2, 35, 0, 8, 0, 0]))
        #expect(scene.dropped(.routerMessage) == 1)
    }

    @Test func `messages of a DHCP server reach nobody, those of a client do`() {
        func send(
            _ source: UInt8,
            _ destination: UInt8,
            fragment: (offset: Int, more: Bool) = (0, false)
        ) -> Bool {
            var header = scene.header(17, to: .broadcastIPv4)
            header.source = .anyIPv4
            header.fragmentOffset = fragment.offset
            header.moreFragments = fragment.more
            var frame = scene.frame(header, [0, source, 0, destination, 0, 8, 0, 0])
            let broadcast = MACAddress.broadcast.octets
            frame.replaceSubrange(0..<12, with: broadcast + attackerMAC.octets)
            scene.link.sent = []
            frame.withUnsafeBytes {
                scene.engine.receive(Frame($0), from: attacker, now: scene.clock.now)
            }
            return !scene.link.sent.isEmpty
        }
        #expect(!send(67, 68))
        #expect(scene.dropped(.routerMessage) == 1)
        #expect(send(68, 67))
        // A first fragment has the ports; in later ones these octets are data.
        #expect(!send(67, 68, fragment: (0, true)))
        for offset in [8, 32_768] { #expect(send(67, 68, fragment: (offset, true))) }
    }

    @Test func `a tag of VLAN 0 hides nothing`() {
        let frame =
            [0x33, 0x33, 0, 0, 0, 1] + attackerMAC.octets + [0x81, 0, 0xe0, 0, 0x86, 0xdd]
            + [UInt8](repeating: 0, count: 64)
        frame.withUnsafeBytes {
            scene.engine.receive(Frame($0), from: attacker, now: scene.clock.now)
        }
        #expect(scene.link.sent.isEmpty)
    }

    @Test func `another guest's address cannot be used or advertised until its link closes`() {
        #expect(send(58, message(136, about: victim), fromVictim: true))
        #expect(!send(58, message(136, about: victim)))
        #expect(!send(58, message(128, about: own), source: victim))
        #expect(scene.dropped(.takenAddress) == 2)
        #expect(send(58, message(136, about: own)))
        #expect(send(58, message(128, about: victim), fromVictim: true))
        scene.engine.ethernet.detach(scene.link)
        #expect(scene.engine.ethernet.attach(scene.link, now: scene.loop.now))
        #expect(send(58, message(136, about: victim)))
    }
}
