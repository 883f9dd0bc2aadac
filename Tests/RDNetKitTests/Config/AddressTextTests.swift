import Testing

@testable import RDNetKit

@Suite("addresses as people write them")
struct AddressTextTests {
    private static let linkLocal =
        ZonedEndpoint("[fe80::1%eth0]:6000") ?? loopback
    private static let loopback = ZonedEndpoint(Endpoint(address: .loopbackIPv4, port: 6000))

    @Test(
        "a link address is a stream, a socket of packets or datagrams, or what is open already",
        arguments: [
            ("unix:///run/net.sock", LinkAddress.stream(.unix("/run/net.sock"), .littleEndian16)),
            ("qemu+unix:///q", .stream(.unix("/q"), .bigEndian32)),
            ("tcp://127.0.0.1:6000", .stream(.tcp(loopback), .littleEndian16)),
            ("qemu+tcp://127.0.0.1:6000", .stream(.tcp(loopback), .bigEndian32)),
            ("vsock://2:6656", .vsock(cid: 2, port: 6656)),
            ("vsock://:6656", .vsock(cid: nil, port: 6656)),
            ("qemu+vsock://2:1", .stream(.vsock(cid: 2, port: 1), .bigEndian32)),
            ("vpnkit+unix:///k", .stream(.unix("/k"), .vpnkit)),
            ("vpnkit+tcp://127.0.0.1:6000", .stream(.tcp(loopback), .vpnkit)),
            (
                "tcp://[fe80::1%eth0]:6000",
                .stream(.tcp(linkLocal), .littleEndian16)
            ),
            ("vpnkit+vsock://:1", .stream(.vsock(cid: nil, port: 1), .vpnkit)),
            ("bess+unix:///b", .packets("/b")), ("vhost+unix:///v", .vhost("/v")),
            ("vfkit+unixgram:///v", .datagrams("/v")),
            ("fd://3", .descriptor(3)),
            ("stdio://", .standardStreams),
        ]
    )
    func link(text: String, expected: LinkAddress) {
        #expect(LinkAddress(text) == expected)
        #expect(expected.description == text)
    }

    @Test(
        "what is no link address is refused",
        arguments: [
            "", "unix://", "unix://relative", "unix:/x", "/x", "tcp://localhost:80",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://:80", "tcp://::1:80", "vsock://2",
            "vsock://a:1", "vsock://2:", "vsock://2:1:3", "vsock://4294967295:1", "vsock://-1:1",
            "vsock://2:4294967295", "fd://", "fd://-1", "fd://3x", "fd://2147483648", "qemu+fd://3",
            "qemu+qemu+unix:///x", "qemu+vpnkit+unix:///x", "bess+tcp://127.0.0.1:80",
            "bess+unix://x", "vhost+unix://x", "vhost+tcp://127.0.0.1:80",
            "vfkit+unix:///x", "unixgram:///x", "vfkit+unixgram://", "stdio:", "stdio:///x",
            "qemu+stdio://", "http://127.0.0.1:80", "UNIX:///x",
            "unix:///" + String(repeating: "x", count: 107), "unix:///a\u{0}b",
        ]
    )
    func noLink(text: String) {
        #expect(LinkAddress(text) == nil)
    }

    @Test(
        "a guest calls streams, and what it was started with",
        arguments: [
            ("unix:///x", true), ("qemu+tcp://127.0.0.1:80", true), ("vsock://2:1", true),
            ("fd://3", true), ("", true), ("vpnkit+unix:///x", false), ("bess+unix:///x", false),
            ("vhost+unix:///x", false),
            ("vfkit+unixgram:///x", false), ("stdio://", false),
        ]
    )
    func host(text: String, isGood: Bool) {
        #expect((ValueSyntax<LinkAddress?>.optionalLink.parse(text) != nil) == isGood)
    }

    @Test(
        "gvforwarder's host is a stream with a path to ask for, or a program",
        arguments: [
            (
                "vsock://2:1024/connect",
                .connect(.vsock(cid: 2, port: 1024), path: "/connect"), nil
            ),
            ("vsock://2:1024/a/b?c", .connect(.vsock(cid: 2, port: 1024), path: "/a/b?c"), nil),
            ("vsock://2:1024", .stream(.vsock(cid: 2, port: 1024), .littleEndian16), nil),
            ("unix:///run/x.sock", .connect(.unix("/run/x.sock"), path: "/connect"), nil),
            ("stdio:/bin/x", .program("/bin/x", arguments: []), nil),
            ("stdio:///bin/x", .program("/bin/x", arguments: []), "stdio:/bin/x"),
            (
                "stdio:/bin/x?a=b&c=d+e%26&f",
                .program("/bin/x", arguments: ["-a=b", "-c=d e&", "-f="]),
                "stdio:/bin/x?a=b&c=d%20e%26&f="
            ),
            (
                "stdio:/bin/a%20b?k=x=y", .program("/bin/a b", arguments: ["-k=x=y"]),
                "stdio:/bin/a%20b?k=x%3Dy"
            ),
        ] as [(String, LinkAddress, String?)]
    )
    func forwarder(text: String, expected: LinkAddress, description: String?) {
        #expect(LinkAddress(forwarder: text) == expected)
        #expect(expected.description == description ?? text)
        #expect(LinkAddress(forwarder: expected.description) == expected)
    }

    @Test(
        "what is no host of gvforwarder's is refused",
        arguments: [
            "", "http://x/connect", "unix://relative", "vsock://2", "vsock://a:1/x", "stdio:x",
            "stdio:", "stdio:/x?a=%00", "stdio:/x%00", "vsock://2:1/a b", "tcp://127.0.0.1:80",
        ]
    )
    func noForwarder(text: String) {
        #expect(LinkAddress(forwarder: text) == nil)
    }

    @Test func `a path of 107 octets is the longest`() {
        let text = "unix:///" + String(repeating: "x", count: 106)
        #expect(StreamAddress(text)?.description == text)
    }

    @Test(
        "an endpoint is a literal address and a port",
        arguments: [
            ("192.168.127.2:80", "192.168.127.2:80"), ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:65535", "0.0.0.0:65535"), ("10.0.0.1:080", "10.0.0.1:80"), ("::1:80", nil),
            ("[10.0.0.1]:80", nil), ("10.0.0.1:", nil), ("10.0.0.1:+80", nil),
            ("10.0.0.1:0x50", nil),
            (":80", nil), ("[]:80", nil), ("[::1]", nil), ("a:80", nil), ("", nil),
        ] as [(String, String?)]
    )
    func endpoint(text: String, expected: String?) {
        #expect(Endpoint(text)?.description == expected)
    }

    @Test(
        "a port forward may be written as for docker",
        arguments: [
            ("8080:80", "8080=80"), ("127.0.0.1:8080:80/udp", "127.0.0.1:8080=80/udp"),
            ("[::1]:8080:80", "[::1]:8080=80"), ("8000-8009:9000-9009", "8000-8009=9000-9009"),
        ]
    )
    func docker(text: String, usual: String) {
        #expect(PortForward(text)?.description == usual)
        #expect(PortForward(text) == PortForward(usual))
    }

    @Test(
        "the address of a service to connect to may be short",
        arguments: [
            ("/run/api.sock", "unix:///run/api.sock"), ("localhost:8080", "tcp://127.0.0.1:8080"),
            ("tcp://localhost:8080", "tcp://127.0.0.1:8080"), ("[::1]:80", "tcp://[::1]:80"),
            ("unix:///x", "unix:///x"), ("vsock://2:1", "vsock://2:1"), ("run/api.sock", nil),
            ("localhost", nil), ("host:80", nil),
        ] as [(String, String?)]
    )
    func service(text: String, full: String?) {
        #expect(ValueSyntax<StreamAddress>.service.parse(text)?.description == full)
    }

    @Test(
        "a port forward has two sides with as many ports",
        arguments: [
            ("127.0.0.1:6443=192.168.127.2:6443", true), ("0.0.0.0:1=10.0.0.1:65535", true),
            ("[::1]:80=192.168.127.2:80", true), ("127.0.0.1:80=[fd00::2]:80", true),
            ("127.0.0.1:80=fd00::2:80", false),
            ("127.0.0.1:80", true), ("127.0.0.1:80=192.168.127.2:80=x", false), ("=", false),
            (":80=192.168.127.2:80", false), ("name:80=192.168.127.2:80", false),
            ("127.0.0.1:0=192.168.127.2:80", false), ("127.0.0.1:80=192.168.127.2:65536", false),
            ("udp:127.0.0.1:80=192.168.127.2:80", false), ("80", true), ("80/udp", true),
            ("10000-10100/udp", true), ("80=81", true), ("80=", false), ("/udp", false),
            ("8000-8009:80", false), ("8080:", false), (":8080:80", false), ("a:8080:80", false),
            ("127.0.0.1:8080:80=81", false),
            ("127.0.0.1:10000-10100=192.168.127.2:20000-20100/udp", true),
            ("127.0.0.1:10000-10100=192.168.127.2:20000-20099/udp", false),
            ("10000-10100=80", false), ("10100-10000", false), ("0-1", false), ("1-2-3", false),
            ("1-65536", false), ("80/sctp", false), ("80/udp/udp", false), ("-80", false),
        ]
    )
    func portForward(text: String, isGood: Bool) {
        #expect(PortForward(text)?.description == (isGood ? text : nil))
    }

    @Test(
        "a static lease is one machine's and IPv4",
        arguments: [
            ("5a:94:ef:e4:0c:ee=192.168.127.2", true), ("01:00:5e:00:00:01=192.168.127.2", false),
            ("5a:94:ef:e4:0c:ee=::1", false), ("5a:94:ef:e4:0c:ee", false),
            ("=192.168.127.2", false),
        ]
    )
    func staticLease(text: String, isGood: Bool) {
        #expect(StaticLease(text)?.description == (isGood ? text : nil))
    }

    @Test(
        "a name server's port is 53 unless it is given",
        arguments: [
            ("9.9.9.9", "9.9.9.9:53"), ("9.9.9.9:5353", "9.9.9.9:5353"),
            ("2620:fe::fe", "[2620:fe::fe]:53"), ("[2620:fe::fe]:5353", "[2620:fe::fe]:5353"),
            ("fe80::1%eth0", "[fe80::1%eth0]:53"), ("[fe80::1%2]:5353", "[fe80::1%2]:5353"),
            ("fe80::1%", nil), ("fe80::1%a/b", nil), ("9.9.9.9%eth0", nil),
            ("fe80::1%eth0:53", nil),
            ("dns.quad9.net", nil), ("9.9.9.9:0", nil), ("", nil),
        ] as [(String, String?)]
    )
    func nameServer(text: String, expected: String?) {
        #expect(ValueSyntax<ZonedEndpoint>.nameServer.parse(text)?.description == expected)
    }

    @Test(
        "an interface's name is what the kernel takes",
        arguments: [
            ("eth0", true), ("a234567890abcde", true), ("a234567890abcdef", false), ("", false),
            ("a b", false), ("a/b", false), ("a:1", false), (".", false), ("..", false),
        ]
    )
    func interfaceName(text: String, isGood: Bool) {
        #expect((ValueSyntax<String>.interfaceName.parse(text) != nil) == isGood)
    }

    @Test(
        "a search domain is labels of 1 to 63 octets",
        arguments: [
            ("example.org", "example.org"), ("example.org.", "example.org"), ("lan", "lan"),
            ("a..b", nil), (".a", nil), ("", nil), (".", nil), ("a b", nil),
            (String(repeating: "a", count: 64), nil),
        ] as [(String, String?)]
    )
    func domain(text: String, expected: String?) {
        #expect(ValueSyntax<String>.domain.parse(text) == expected)
    }
}

@Suite("network settings")
struct NetworkSettingsTests {
    private func settings(subnet: String, leases: [String] = []) throws -> NetworkSettings {
        var settings = NetworkSettings()
        settings.subnet = try #require(Subnet(subnet))
        settings.staticLeases = try leases.map { try #require(StaticLease($0)) }
        return settings
    }

    @Test func `gateway, guest and host alias follow the subnet`() throws {
        let settings = try settings(subnet: "10.9.8.0/22")
        #expect(settings.gateway.description == "10.9.8.1")
        #expect(settings.guest.description == "10.9.8.2")
        #expect(settings.hostAlias.description == "10.9.11.254")
        #expect(settings.effectiveStaticLeases.map(\.description) == ["5a:94:ef:e4:0c:ee=10.9.8.2"])
    }

    @Test(
        "the usual guest has its lease unless the list speaks of it or of its address",
        arguments: [
            ("02:00:00:00:00:01=192.168.127.9", 2),
            ("02:00:00:00:00:01=192.168.127.2", 1),
            ("5a:94:ef:e4:0c:ee=192.168.127.9", 1),
        ]
    )
    func usualGuest(lease: String, count: Int) throws {
        let settings = try settings(subnet: "192.168.127.0/24", leases: [lease])
        #expect(settings.effectiveStaticLeases.count == count)
    }

    @Test(
        "a static lease that cannot be given is a conflict",
        arguments: [
            (["02:00:00:00:00:01=192.168.127.9"], nil),
            (["02:00:00:00:00:01=192.168.127.0"], "02:00:00:00:00:01=192.168.127.0"),
            (["02:00:00:00:00:01=192.168.127.1"], "02:00:00:00:00:01=192.168.127.1"),
            (["02:00:00:00:00:01=192.168.127.254"], "02:00:00:00:00:01=192.168.127.254"),
            (["02:00:00:00:00:01=192.168.127.255"], "02:00:00:00:00:01=192.168.127.255"),
            (["02:00:00:00:00:01=192.168.128.9"], "02:00:00:00:00:01=192.168.128.9"),
            (
                ["02:00:00:00:00:01=192.168.127.9", "02:00:00:00:00:02=192.168.127.9"],
                "02:00:00:00:00:02=192.168.127.9"
            ),
            (
                ["02:00:00:00:00:01=192.168.127.9", "02:00:00:00:00:01=192.168.127.8"],
                "02:00:00:00:00:01=192.168.127.8"
            ),
        ] as [([String], String?)]
    )
    func conflict(leases: [String], expected: String?) throws {
        let settings = try settings(subnet: "192.168.127.0/24", leases: leases)
        #expect(settings.conflict?.value == expected)
    }

    @Test func `a subnet of four addresses has no room for a guest`() throws {
        #expect(try settings(subnet: "10.0.0.0/30").conflict?.option == "subnet")
        #expect(try settings(subnet: "10.0.0.0/29").conflict == nil)
    }

    @Test func `the guest cannot have the gateway's Ethernet address`() {
        var settings = NetworkSettings()
        settings.guestMAC = settings.gatewayMAC
        #expect(settings.conflict?.option == "guest-mac")
    }

    @Test func `of two forwards for one host port the later counts`() throws {
        var settings = NetworkSettings()
        settings.portForwards = try [
            "127.0.0.1:80=192.168.127.2:1", "127.0.0.2:80=192.168.127.2:2",
            "127.0.0.1:80=192.168.127.2:3",
        ].map { try #require(PortForward($0)) }
        #expect(settings.effectivePortForwards.map { $0.guest?.ports.first } == [2, 3])
    }

    @Test func `UDP does not replace TCP, and what is left out is loopback and the usual guest`()
        throws
    {
        var settings = NetworkSettings()
        settings.portForwards = try ["127.0.0.1:80", "80/udp", "80=81"].map {
            try #require(PortForward($0))
        }
        #expect(settings.effectivePortForwards.map(\.description) == ["80/udp", "80=81"])
        let forward = try #require(PortForward("[::1]:80-81=localhost:82-83/udp"))
        #expect(forward.local == "[::1]:80-81" && forward.transport == "udp")
        #expect(forward.remote(usualGuest: settings.guest) == "127.0.0.1:82-83")
        let short = try #require(PortForward("80-81/tcp"))
        #expect(short.local == "127.0.0.1:80-81" && short.transport == "tcp")
        #expect(short.remote(usualGuest: settings.guest) == "192.168.127.2:80-81")
    }

    @Test func `only a network that reaches it has forwards to the guest's own loopback`() throws {
        var settings = NetworkSettings()
        settings.portForwards = [try #require(PortForward("80=localhost:80"))]
        #expect(settings.conflict?.option == "port-forward")
        settings.reachesGuestLoopback = true
        #expect(settings.conflict == nil)
    }
}
