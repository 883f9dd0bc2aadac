import Testing

@testable import RDNetKit

/// Forwards to 172.17.0.2, a container of the guest.
@Suite("an address behind a guest")
struct AddressesBehindGuestsTests {
    private let guest: ScriptedGuest
    private let container = IPAddress(ipv4: 0xac11_0002)

    init() throws {
        guest = try ScriptedGuest()
    }

    private func addForward() {
        #expect(guest.engine.ethernet.addForward(to: container, behind: ScriptedGuest.address))
    }

    /// Makes the engine connect to the container's port 80; returns the client and the SYN's port.
    private func open() throws -> (host: HostPeer, port: UInt16?) {
        let listener = try HostListener()
        let client = try Socket.make(2, .stream)
        let address = SocketAddress(Endpoint(address: .loopbackIPv4, port: listener.port))
        _ = try Socket.connect(client, to: address)
        let accepted = try #require(try listener.accept())
        guest.engine.connect(
            to: Endpoint(address: container, port: 80),
            joining: try accepted.give()
        )
        try guest.settle()
        return (HostPeer(client), try guest.peekTCP().last?.sourcePort)
    }

    @Test func `a connection goes through the guest and back`() throws {
        addForward()
        let (host, port) = try open()
        let frame = try #require(guest.inbox.last)
        #expect(Array(frame[..<6]) == ScriptedGuest.mac.octets)
        let gateway = Endpoint(address: ScriptedGuest.gateway, port: try #require(port))
        let tcp = ScriptedConnection(guest, to: gateway, from: 80, source: container)
        try tcp.expect(.syn, at: 0)
        tcp.send([.syn, .ack], options: .usual)
        try tcp.expect(.ack, at: 1, ack: 1)
        try host.write("GET".utf8)
        try tcp.expect(.ack, at: 1, text: "GET")
        // The connection outlives the forward.
        guest.engine.ethernet.removeForward(to: container)
        tcp.send(.ack, "200")
        try tcp.expect(.ack, ack: 4)
        #expect(host.text == "200")
    }

    @Test func `without a forward there is no way, and its packets are dropped`() throws {
        let (host, port) = try open()
        #expect(port == nil)
        #expect(host.readsReset())
        guest.sendUDP(
            from: 1,
            to: Endpoint(address: ScriptedGuest.gateway, port: 50_000),
            [1],
            source: container
        )
        #expect(guest.dropped(.badSource) == 1)
    }

    @Test func `datagrams of a forward go through the guest and back`() throws {
        addForward()
        let receiver = Receiver()
        let target = Endpoint(address: container, port: 53)
        let port = try #require(
            guest.engine.openDatagramPort(to: target, receiver: receiver)
        )
        [UInt8]("?".utf8).withUnsafeBytes { port.send($0) }
        let sent = try #require(try guest.takeUDP().first)
        #expect(sent.ip.destination == container)
        let gateway = Endpoint(address: ScriptedGuest.gateway, port: sent.udp.sourcePort)
        guest.sendUDP(from: 53, to: gateway, Array("!".utf8), source: container)
        #expect(receiver.received == [Array("!".utf8)])
        port.close()
    }

    @Test func `the container reaches neither the gateway's services nor the host by itself`()
        throws
    {
        addForward()
        guest.serve(80)
        guest.engine.datagramServices[53] = { _, _, _, _ in Issue.record("the service was asked") }
        let gateway = Endpoint(address: ScriptedGuest.gateway, port: 80)
        let tcp = ScriptedConnection(guest, to: gateway, source: container)
        tcp.send(.syn, options: .usual)
        try tcp.expectNothing()
        let host = Endpoint(address: ScriptedGuest.hostAlias, port: 7)
        let other = ScriptedConnection(guest, to: host, source: container)
        other.send(.syn, options: .usual)
        try other.expectNothing()
        guest.sendUDP(from: 1, to: host, [1], source: container)
        guest.sendUDP(
            from: 1,
            to: Endpoint(address: ScriptedGuest.gateway, port: 53),
            [1],
            source: container
        )
        #expect(guest.dropped(.badSource) == 4)
        #expect(guest.engine.tcp.count == 0)
        #expect(guest.engine.udp.count == 0)
    }

    @Test func `another guest neither answers for it nor gets it while a forward leads there`()
        throws
    {
        addForward()
        let other = IPAddress(ipv4: 0xc0a8_7f03)
        let ethernet = guest.engine.ethernet
        #expect(!ethernet.addForward(to: container, behind: other))
        let link = RecordingLink()
        link.receiver = guest.engine
        #expect(ethernet.attach(link, now: guest.loop.now))
        var header = guest.header(GuestWire.Transport.udp, to: ScriptedGuest.gateway)
        header.source = container
        let gateway = Endpoint(address: ScriptedGuest.gateway, port: 50_000)
        var frame = guest.frame(
            header,
            guest.datagram(from: 53, to: gateway, [1], source: container)
        )
        frame.replaceSubrange(6..<12, with: [2, 0, 0, 0, 0, 9])
        guest.send(frame: frame, over: link)
        #expect(guest.dropped(.badSource) == 1)
        ethernet.removeForward(to: container)
        #expect(ethernet.addForward(to: container, behind: other))
    }

    @Test(
        "addresses that mean something else lie behind no guest",
        arguments: [
            "192.168.127.9", "192.168.127.254", "127.0.0.1", "224.0.0.1", "255.255.255.255",
            "0.0.0.0", "169.254.169.254", "::1",
        ]
    )
    func others(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(!guest.engine.ethernet.addForward(to: address, behind: ScriptedGuest.address))
    }

    @Test func `a full table forgets addresses without a forward, and no others`() {
        var routers = GuestRouters()
        for index in 0..<UInt32(GuestRouters.maximumAddresses) {
            let address = IPAddress(ipv4: 0x0a00_0000 + index)
            let isAdded = routers.add(address, behind: ScriptedGuest.address)
            #expect(isAdded)
            if index > 0 { routers.remove(address) }
        }
        let isAdded = routers.add(container, behind: ScriptedGuest.address)
        #expect(isAdded)
        #expect(routers.guest(inFrontOf: IPAddress(ipv4: 0x0a00_0000)) == ScriptedGuest.address)
        #expect(routers.guest(inFrontOf: IPAddress(ipv4: 0x0a00_0001)) == nil)
    }

    /// Keeps what it receives.
    private final class Receiver: GuestDatagramReceiver {
        private(set) var received: [[UInt8]] = []

        func receiveFromGuest(_ payload: UnsafeRawBufferPointer, now: Instant) {
            received.append(Array(payload))
        }

        func giveWay() {}
        func guestRefused(now: Instant) {}
    }
}
