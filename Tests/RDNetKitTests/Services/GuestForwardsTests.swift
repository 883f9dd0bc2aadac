import Testing

@testable import RDNetKit

/// The forwarding API as guests see it: a closed list.
@Suite("forwards for guests")
struct GuestForwardsTests {
    private static let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 40_000)

    private let fixture: APIFixture

    init() throws {
        fixture = try APIFixture()
    }

    private func ask(
        _ verb: String,
        _ body: String = "",
        binding binds: [String] = []
    ) -> (status: Int, text: String) {
        let response = fixture.ask(
            body.isEmpty ? "GET" : "POST",
            "/services/forwarder/\(verb)",
            body,
            from: Self.guest,
            at: fixture.guestRoutes(binding: binds)
        )
        return (response.status, String(decoding: response.body, as: UTF8.self))
    }

    @Test func `a guest publishes its own port and another guest's, and withdraws them`() {
        let local = #"{"local":"127.0.0.1:0","remote":":80"}"#
        #expect(ask("expose", local) == (200, ""))
        let udp = #"{"local":":0","remote":"192.168.127.9:53","protocol":"udp"}"#
        #expect(ask("expose", udp) == (200, ""))
        let list =
            #"[{"local":"127.0.0.1:0","remote":"192.168.127.2:80","protocol":"tcp"},"#
            + #"{"local":":0","remote":"192.168.127.9:53","protocol":"udp"}]"#
        #expect(ask("all") == (200, list + "\n"))
        #expect(ask("unexpose", local) == (200, ""))
        // Rancher Desktop's agent omits the protocol.
        #expect(ask("unexpose", #"{"local":":0"}"#) == (200, ""))
        #expect(ask("all") == (200, "[]\n"))
    }

    @Test(
        "what names a path, a key, a program or another protocol is forbidden",
        arguments: [
            #"{"local":"/tmp/x.sock","remote":"tcp://192.168.127.2:80","protocol":"unix"}"#,
            #"{"local":"/x","remote":"ssh-tunnel://root@192.168.127.2/x?key=/etc/shadow","protocol":"unix"}"#,
            #"{"local":"\\\\.\\pipe\\x","remote":"tcp://192.168.127.2:80","protocol":"npipe"}"#,
            #"{"local":":0","remote":"192.168.127.2:80","protocol":"sctp"}"#,
            #"{"local":":0","remote":"192.168.127.2:80","protocol":"TCP"}"#,
        ]
    )
    func closed(body: String) {
        let sentence = "guests can publish TCP and UDP ports only\n"
        #expect(ask("expose", body) == (403, sentence))
        #expect(ask("unexpose", body) == (403, sentence))
    }

    @Test(
        "a forward leads to guests only",
        arguments: ["8.8.8.8", "192.168.127.1", "192.168.127.254", "127.0.0.1", "0.0.0.0"]
    )
    func leadsToGuests(address: String) {
        let answer = ask("expose", #"{"local":":0","remote":"\#(address):80"}"#)
        #expect(answer == (403, "\(address) is not a guest's address\n"))
    }

    @Test func `the host's forwards do not exist for guests`() throws {
        try fixture.forwards.expose(local: "127.0.0.1:0", remote: "192.168.127.2:22")
        #expect(ask("all") == (200, "[]\n"))
        for name in ["", #","protocol":"tcp""#] {
            let answer = ask("unexpose", #"{"local":"127.0.0.1:0"\#(name)}"#)
            #expect(answer == (500, "proxy not found\n"))
        }
        // A guest's forward by the same name as a host's of another protocol can be removed.
        let udp = #"{"local":"127.0.0.1:0","remote":":53","protocol":"udp"}"#
        #expect(ask("expose", udp) == (200, ""))
        #expect(ask("unexpose", #"{"local":"127.0.0.1:0"}"#) == (200, ""))
        #expect(fixture.forwards.entries.map(\.remote) == ["192.168.127.2:22"])
    }

    @Test(
        "guests listen only where they may",
        arguments: [
            ("127.0.0.1:8080", true), ("127.0.0.1:80", false), (":8080", false),
            ("0.0.0.0:8080", false), ("[::1]:8081", false), ("127.0.0.1:0", true),
            ("127.0.0.1:8090-8091", true), ("127.0.0.1:1023-1024", false), ("", false),
        ]
    )
    func binds(local: String, isAllowed: Bool) {
        let ports = local.contains("-") ? "8090-8091" : "80"
        let body = #"{"local":"\#(local)","remote":":\#(ports)"}"#
        let (status, text) = ask("expose", body, binding: ["127.0.0.0/8:1024-65535"])
        if isAllowed {
            // Another program may have the port, but that is no matter of permission.
            #expect(status != 403, "\(text)")
        } else {
            #expect(status == 403)
            #expect(text.hasSuffix("; --guest-bind allows 127.0.0.0/8:1024-65535\n"), "\(text)")
        }
    }

    @Test func `one guest gets half of the forwards at most`() {
        let table = ForwardTable(
            loop: fixture.loop,
            connector: fixture.connector,
            log: .discarding(),
            ssh: SSHProgram { _ in nil },
            descriptors: 260
        )
        let forwards = GuestForwards(table: table, isGuest: { _ in true }, binds: [])
        let open = { (name: String, client: UInt32) throws(ForwardError) in
            try forwards.expose(
                "",
                local: "\(name):0",
                remote: "192.168.127.2:80",
                client: IPAddress(ipv4: 0xc0a8_7f00 + client)
            )
        }
        #expect(throws: Never.self) {
            try open("127.0.0.1", 2)
            try open("127.0.0.2", 2)
        }
        #expect(throws: ForwardError.tooMany(limit: 2)) { try open("127.0.0.3", 2) }
        #expect(throws: Never.self) { try open("127.0.0.3", 3) }
        table.close()
    }

    @Test func `a guest can hold a forward to an address behind it, until the forward ends`() throws
    {
        let ethernet = fixture.guest.engine.ethernet
        let (guest, container) = (Self.guest.address, IPAddress(ipv4: 0xac11_0002))
        let forwards = GuestForwards(
            table: fixture.forwards,
            isGuest: { ethernet.plan.isGuest($0) },
            binds: [],
            reach: { address, guest in
                ethernet.addForward(to: address, behind: guest)
                    ? .reachable(released: { ethernet.removeForward(to: address) })
                    : .unreachable(reason: "\(address) is no address of a container")
            }
        )
        func hold(_ remote: String, _ local: String = "127.0.0.1:0") throws -> ForwardHandle {
            try forwards.hold("", local: local, remote: remote, client: guest)
        }
        let other = IPAddress(ipv4: 0xc0a8_7f03)
        let handle = try hold("172.17.0.2:80")
        #expect(ethernet.leads(to: container))
        #expect(!ethernet.addForward(to: container, behind: other))
        #expect(throws: ForwardError.self) { try hold("172.17.0.2:80", "203.0.113.9:80") }
        #expect(throws: ForwardError.forbidden("169.254.169.254 is no address of a container")) {
            try hold("169.254.169.254:80")
        }
        handle.close()
        #expect(ethernet.addForward(to: container, behind: other))
        // A forward that would outlive its connection leads to guests only.
        #expect(throws: ForwardError.forbidden("172.17.0.2 is not a guest's address")) {
            try forwards.expose("", local: ":0", remote: "172.17.0.2:80", client: guest)
        }
    }

    @Test(
        "--guest-bind",
        arguments: [
            ("127.0.0.1", "127.0.0.1"), ("0.0.0.0/0:1024-65535", "0.0.0.0/0:1024-65535"),
            ("[::1/128]:8080", "[::1]:8080"), ("[::/0]", "::/0"), ("fd00::/8", "fd00::/8"),
            ("10.0.0.0/8:80", "10.0.0.0/8:80"), ("127.0.0.1:1-65535", "127.0.0.1"),
        ]
    )
    func parses(text: String, description: String) {
        #expect(GuestBind(text)?.description == description)
    }

    @Test(
        "is rejected in other forms",
        arguments: [
            "", "localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8:", "10.0.0.0/8:0",
            "10.0.0.0/8:9-8", "[::1", "[::1]x", "::/129", ":80", "[]:80",
        ]
    )
    func rejects(text: String) {
        #expect(GuestBind(text) == nil)
    }

    @Test(
        "a prefix contains addresses of its family",
        arguments: [
            ("127.0.0.0/8", "127.255.0.1", true), ("127.0.0.0/8", "128.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false), ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false), ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false), ("fd00::/65", "fd00::7fff:0:0:1", true),
            ("fd00::/65", "fd00::8000:0:0:1", false), ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
        ]
    )
    func contains(prefix: String, address: String, isInside: Bool) throws {
        let prefix = try #require(AddressPrefix(prefix))
        #expect(try prefix.contains(#require(IPAddress(address))) == isInside)
    }
}
