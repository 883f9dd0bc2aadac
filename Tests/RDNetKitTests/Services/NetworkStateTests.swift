import Foundation
import Testing

@testable import RDNetKit

@Suite("the state that survives a restart")
struct NetworkStateTests {
    private static let text = """
        {"version":1,"written":1795938753,
        "leases":[
        {"address":"192.168.127.3","mac":"52:54:00:12:34:56","client":"01525400123456","name":"box",\
        "expires":1795942353},
        {"address":"192.168.127.4","mac":"52:54:00:12:34:57","client":"ff00aa","expires":1795938000}
        ],
        "ipv6_leases":[
        {"address":"fdc0:a87f::3","mac":"52:54:00:12:34:56","name":"box","expires":1795940000},
        {"address":"fdc0:a87f::4","mac":"52:54:00:12:34:57","expires":1795938000}
        ],
        "forwards":[
        {"protocol":"tcp","local":":80","remote":"192.168.127.3:80","owner":"192.168.127.3"},
        {"protocol":"udp","local":"127.0.0.1:53","remote":"192.168.127.3:53","owner":"host"}
        ]}

        """

    private func read(_ text: String) throws -> NetworkState {
        try NetworkState(reading: Array(text.utf8))
    }

    @Test func `is read as it was written, one lease or forward in each line`() throws {
        let state = try read(Self.text)
        #expect(String(decoding: state.octets, as: UTF8.self) == Self.text)
        let mac = MACAddress(rawValue: 0x5254_0012_3456)
        #expect(state.leases[0].holder == .init(client: .hardware(mac), hardwareAddress: mac))
        #expect(state.leases[1].holder.client == .identifier([0xff, 0, 0xaa]))
        #expect(state.leases[0].hostName == "box")
        #expect(state.forwards[0].owner == .guest(DHCPServerScene.address("192.168.127.3")))
        #expect(state.forwards[1].owner == .host)
        #expect(state.ipv6Leases.map { "\($0.address)" } == ["fdc0:a87f::3", "fdc0:a87f::4"])
        #expect(state.ipv6Leases[0].mac == mac && state.ipv6Leases[0].hostName == "box")
        let empty = NetworkState(written: 1)
        #expect(try NetworkState(reading: empty.octets) == empty)
    }

    @Test func `a lease has the rest that it had when the state was written`() throws {
        let state = try read(Self.text)
        #expect(
            state.leases.map { state.rest(until: $0.expires) } == [.seconds(3600), .seconds(-753)]
        )
    }

    @Test func `a text of a program without IPv6 leases is read`() throws {
        let start = try #require(Self.text.range(of: "\"ipv6_leases\""))
        let end = try #require(Self.text.range(of: "\"forwards\""))
        let text = Self.text.replacingCharacters(
            in: start.lowerBound..<end.lowerBound,
            with: ""
        )
        let state = try read(text)
        #expect(state.leases.count == 2 && state.ipv6Leases.isEmpty && state.forwards.count == 2)
    }

    @Test func `a text that is cut off anywhere is refused`() throws {
        let octets = Array(Self.text.utf8)
        for count in 0..<(octets.count - 1) {
            #expect(throws: NetworkStateError.self, "\(count) bytes") {
                try NetworkState(reading: Array(octets[..<count]))
            }
        }
    }

    @Test(
        "wrong values are refused",
        arguments: [
            (#""version":1"#, #""version":2"#, "version 2, but this program reads version 1"),
            (#""version":1"#, #""version":"1""#, "version: expected a number"),
            ("1795938753", "-1", "written: expected whole seconds since 1970"),
            ("1795938753", "1e300", "written: expected whole seconds since 1970"),
            (
                "1795942353", "9223372036854775807",
                "leases[0].expires: expected whole seconds since 1970"
            ),
            ("ff00aa", "ff00a", "leases[1].client: expected 2 to 255 bytes in hexadecimal"),
            ("ff00aa", "fg00aa", "leases[1].client: expected 2 to 255 bytes in hexadecimal"),
            ("52:54:00:12:34:57", "53:54:00:12:34:57", "leases[1].mac: expected a MAC address"),
            (#""192.168.127.4""#, #""fe80::1""#, "leases[1].address: expected an IPv4 address"),
            ("fdc0:a87f::3", "10.0.0.1", "ipv6_leases[0].address: expected an IPv6 address"),
            ("1795940000", "-1", "ipv6_leases[0].expires: expected whole seconds since 1970"),
            (#""udp""#, #""npipe""#, "forwards[1].protocol: expected tcp, udp or unix"),
            (#""host""#, #""root""#, "forwards[1].owner: expected host or an IP address"),
            (#""local":":80""#, #""local":80"#, "forwards[0].local: expected a text"),
        ]
    )
    func refuses(part: String, replacement: String, reason: String) throws {
        let text = Self.text.replacingOccurrences(of: part, with: replacement)
        #expect(text != Self.text)
        let error = #expect(throws: NetworkStateError.self) { try read(text) }
        #expect(error?.description == reason)
    }
}

@Suite("leases of an earlier run")
struct RestoredLeaseTests {
    private static let mac = DHCPServerScene.mac(0x5254_0012_3456)
    private static let other = DHCPServerScene.mac(0x5254_0012_3457)

    private func restore(_ address: String, _ rest: Duration, in scene: DHCPServerScene) -> Bool {
        let holder = LeasePool.Holder(client: .hardware(Self.mac), hardwareAddress: Self.mac)
        let record = LeasePool.Record(
            address: DHCPServerScene.address(address),
            holder: holder,
            expires: scene.now + rest
        )
        return scene.server.restore(record, name: "box", now: scene.now)
    }

    private func request(_ address: String, _ mac: MACAddress, in scene: DHCPServerScene)
        throws -> DHCPMessageType?
    {
        let message = DHCPServerScene.message(.request, from: mac, requesting: address)
        return try scene.reply(to: message)?.type
    }

    @Test func `keep others from the address, and their names`() throws {
        let scene = try DHCPServerScene()
        #expect(restore("192.168.127.9", .seconds(600), in: scene))
        #expect(try request("192.168.127.9", Self.other, in: scene) == .nak)
        let address = DHCPServerScene.address("192.168.127.9")
        #expect(scene.server.guestNames.address(of: "box", now: scene.now) == address)
        #expect(try request("192.168.127.9", Self.mac, in: scene) == .ack)
    }

    @Test func `end after the lease time at the latest`() throws {
        let scene = try DHCPServerScene()
        #expect(restore("192.168.127.9", .seconds(1 << 40), in: scene))
        scene.now = scene.now + .seconds(3600)
        #expect(scene.server.leases(now: scene.now).isEmpty)
        #expect(try request("192.168.127.9", Self.other, in: scene) == .ack)
    }

    @Test func `are remembered after their end`() throws {
        let scene = try DHCPServerScene()
        #expect(restore("192.168.127.9", .seconds(-7200), in: scene))
        #expect(scene.server.leases(now: scene.now).isEmpty)
        let offer = try scene.reply(to: DHCPServerScene.message(.discover, from: Self.mac))
        #expect(offer?.yourAddress == DHCPServerScene.address("192.168.127.9"))
    }

    @Test(
        "are dropped if this network cannot give the address",
        arguments: ["10.0.0.9", "192.168.127.1", "192.168.127.2", "192.168.127.254"]
    )
    func dropped(address: String) throws {
        #expect(!restore(address, .seconds(600), in: try DHCPServerScene()))
    }
}
