import Testing

@testable import RDNetKit

@Suite("forwarding API")
struct APITests {
    private let fixture: APIFixture
    private var forwards: ForwardTable { fixture.forwards }

    init() throws {
        fixture = try APIFixture()
    }

    @Test(
        "expose answers each malformed or impossible request as gvproxy does",
        arguments: [
            ("", 400, "EOF"),
            ("garbage", 400, "invalid character 'g' looking for beginning of value"),
            ("[]", 400, "json: cannot unmarshal array into Go value of type types.ExposeRequest"),
            (
                #"{"local":5}"#, 400,
                "json: cannot unmarshal number into Go struct field ExposeRequest.local of type string"
            ),
            ("{}", 400, "missing port in address"),
            (
                #"{"local":":0","remote":"192.168.127.2"}"#, 400,
                "address 192.168.127.2: missing port in address"
            ),
            (#"{"local":":0","remote":":80"}"#, 400, "address @: missing port in address"),
            (
                #"{"local":":0","remote":"192.168.127.2:80","protocol":"sctp"}"#, 500,
                "unknown protocol sctp"
            ),
            (
                #"{"local":":0","remote":"192.168.127.2:80","protocol":"TCP"}"#, 500,
                "unknown protocol TCP"
            ),
            (
                #"{"local":":0","remote":"192.168.127.2:99999"}"#, 500,
                #"strconv.ParseUint: parsing "99999": value out of range"#
            ),
            (
                #"{"local":":0","remote":"192.168.127.2:http"}"#, 500,
                #"strconv.ParseUint: parsing "http": invalid syntax"#
            ),
            (
                #"{"local":":0","remote":"fd00::1:80"}"#, 400,
                "address fd00::1:80: too many colons in address"
            ),
            (
                #"{"local":":0","remote":"example.com:80"}"#, 500,
                "invalid remote addr: example.com is not an IP address"
            ),
            (
                #"{"local":"7003","remote":"192.168.127.2:80"}"#, 500,
                "listen tcp: address 7003: missing port in address"
            ),
            (
                #"{"local":":70000","remote":"192.168.127.2:80"}"#, 500,
                "listen tcp: address 70000: invalid port"
            ),
            (
                #"{"local":"8.8.8.8:7005","remote":"192.168.127.2:80"}"#, 500,
                "listen tcp 8.8.8.8:7005: bind: cannot assign requested address"
            ),
            (
                #"{"local":"example.com:7005","remote":"192.168.127.2:80"}"#, 500,
                "listen tcp: lookup example.com: no such host"
            ),
            (
                #"{"local":"x:y:z","remote":"192.168.127.2:80","protocol":"udp"}"#, 500,
                "address x:y:z: too many colons in address"
            ),
            (
                #"{"local":"/nonexistent/fwd.sock","remote":"tcp://192.168.127.2:80","protocol":"unix"}"#,
                500, "listen unix /nonexistent/fwd.sock: bind: no such file or directory"
            ),
            (
                #"{"local":"/tmp/x","remote":"192.168.127.2:80","protocol":"unix"}"#, 500,
                "failed to parse remote uri :192.168.127.2:80 : parse \"192.168.127.2:80\": "
                    + "first path segment in URL cannot contain colon"
            ),
            (
                #"{"local":"/tmp/x","remote":"http://a/","protocol":"unix"}"#, 500,
                "remote protocol for unix forwarder is not implemented: http"
            ),
            (
                #"{"local":"/tmp/x","remote":"ssh-tunnel://u@192.168.127.2/x","protocol":"unix"}"#,
                500,
                "key not provided for unix-ssh connection"
            ),
            (
                #"{"local":"/tmp/x","remote":"ssh-tunnel://u@192.168.127.2?key=k","protocol":"unix"}"#,
                500, "remote uri must contain a path to a socket file"
            ),
            (
                #"{"local":"/tmp/x","remote":"ssh-tunnel://192.168.127.2/x?key=k","protocol":"unix"}"#,
                500, "user not provided for unix-ssh connection"
            ),
            (
                #"{"local":"/tmp/x","remote":"ssh-tunnel://u@192.168.127.2/x?key=k&passphrase=p","protocol":"unix"}"#,
                500, "keys with a passphrase are not supported for unix-ssh connections"
            ),
            (
                #"{"local":"/tmp/x","remote":"ssh-tunnel://u@guest/x?key=k","protocol":"unix"}"#,
                500, "invalid remote addr: guest is not an IP address"
            ),
            (
                #"{"local":"/tmp/x","remote":"ssh-tunnel://u@192.168.127.2:99999/x?key=k","protocol":"unix"}"#,
                500, #"strconv.ParseUint: parsing "99999": value out of range"#
            ),
            (
                #"{"local":"/tmp/x","remote":"ssh-tunnel://u@192.168.127.2/x?key=%00","protocol":"unix"}"#,
                500, "user, key and path of a unix-ssh connection have no NUL in them"
            ),
            (
                #"{"local":"/tmp/x","remote":"tcp://192.168.127.2","protocol":"unix"}"#, 500,
                #"strconv.ParseUint: parsing "": invalid syntax"#
            ),
            (
                #"{"local":"/tmp/x","remote":"tcp://192.168.127.2:a","protocol":"unix"}"#, 500,
                "failed to parse remote uri :tcp://192.168.127.2:a : parse "
                    + "\"tcp://192.168.127.2:a\": invalid port \":a\" after host"
            ),
            (
                #"{"local":"/tmp/x","remote":"tcp://[::1","protocol":"unix"}"#, 400,
                "address [::1: missing ']' in address"
            ),
            (
                #"{"local":"x","remote":"tcp://192.168.127.2:80","protocol":"unix"}"#, 500,
                "listen unix x: path is not absolute"
            ),
            (
                #"{"local":"\\\\.\\pipe\\x","remote":"y","protocol":"npipe"}"#, 500,
                "named pipes are not supported by this platform"
            ),
        ]
    )
    func refusal(body: String, status: Int, text: String) {
        let response = ask("POST", "/services/forwarder/expose", body)
        #expect(response.status == status)
        #expect(String(decoding: response.body, as: UTF8.self) == text + "\n")
        #expect(response.fields.contains(HTTPField("X-Content-Type-Options", "nosniff")))
        #expect(forwards.entries.isEmpty)
    }

    @Test func `a forward lives from expose to unexpose, once`() {
        let body = #"{"local":"127.0.0.1:0","remote":"192.168.127.2:80"}"#
        #expect(ask("POST", "/services/forwarder/expose", body) == .empty)
        let again = ask("POST", "/services/forwarder/expose", body)
        #expect(again == .error(500, "proxy already running for tcp on 127.0.0.1:0"))
        let list = ask("GET", "/services/forwarder/all")
        #expect(
            String(decoding: list.body, as: UTF8.self)
                == #"[{"local":"127.0.0.1:0","remote":"192.168.127.2:80","protocol":"tcp"}]"# + "\n"
        )
        #expect(ask("POST", "/services/forwarder/unexpose", body) == .empty)
        #expect(
            ask("POST", "/services/forwarder/unexpose", body) == .error(500, "proxy not found")
        )
        #expect(ask("GET", "/services/forwarder/all").body == Array("[]\n".utf8))
    }

    @Test("a busy port is told with its network", arguments: ["tcp", "udp"])
    func busyPort(name: String) throws {
        let transport = try #require(ForwardProtocol(rawValue: name))
        try forwards.expose(name, local: "127.0.0.1:0", remote: "192.168.127.2:80")
        let taken = try #require(forwards.endpoint(of: "127.0.0.1:0", transport))
        let body = #"{"local":"\#(taken)","remote":"192.168.127.2:80","protocol":"\#(name)"}"#
        let response = ask("POST", "/services/forwarder/expose", body)
        #expect(response == .error(500, "listen \(name) \(taken): bind: address already in use"))
    }

    @Test func `a remote without host is the client that asks`() {
        let body = #"{"local":"127.0.0.1:0","remote":":80"}"#
        let guest = Endpoint(address: IPAddress(ipv4: 0xc0a8_7f02), port: 40_000)
        #expect(ask("POST", "/services/forwarder/expose", body, from: guest) == .empty)
        #expect(forwards.entries.map(\.remote) == ["192.168.127.2:80"])
    }

    @Test func `the list is in the order of local, then protocol`() throws {
        for (name, local) in [("udp", ":0"), ("tcp", "localhost:0"), ("tcp", ":0"), ("tcp", "")] {
            try forwards.expose(name, local: local, remote: "192.168.127.2:80")
        }
        let listed = forwards.entries.map { "\($0.local) \($0.transport)" }
        #expect(listed == [" tcp", ":0 tcp", ":0 udp", "localhost:0 tcp"])
    }

    @Test func `unexpose without protocol takes tcp, else the only one there is`() throws {
        try forwards.expose("tcp", local: ":0", remote: "192.168.127.2:80")
        try forwards.expose("udp", local: ":0", remote: "192.168.127.2:80")
        let body = #"{"local":":0","protocol":""}"#
        #expect(ask("POST", "/services/forwarder/unexpose", body) == .empty)
        #expect(forwards.entries.map(\.transport) == [.udp])
        // Rancher Desktop's agent sends this for UDP ports when it removes everything.
        #expect(ask("POST", "/services/forwarder/unexpose", body) == .empty)
        #expect(forwards.entries.isEmpty)
    }

    @Test("changes are made by POST alone", arguments: ["expose", "unexpose"])
    func postOnly(path: String) {
        #expect(ask("GET", "/services/forwarder/\(path)", "{}") == .error(400, "post only"))
    }

    @Test(
        "guests see forwards and nothing else",
        arguments: [
            "/stats", "/metrics", "/leases", "/services/dhcp/leases", "/services/dns/all", "/cam",
            "/tunnel", "/connect", "/flows", "/flows/failed", "/links", "/capture", "/log-level",
            "/dns", "/health",
            "/services", "/x",
        ]
    )
    func guestRoutes(path: String) {
        #expect(
            fixture.ask("GET", path, at: fixture.guestRoutes) == .error(404, "404 page not found")
        )
    }

    @Test("the paths of forwards are everywhere", arguments: ["all", "expose", "unexpose"])
    func sameForwards(name: String) {
        for routes in [fixture.guestRoutes, fixture.serviceRoutes, fixture.hostRoutes] {
            let answer = fixture.ask("GET", "/services/forwarder/\(name)", at: routes)
            #expect(
                answer == (name == "all" ? .content(Array("[]\n".utf8)) : .error(400, "post only"))
            )
        }
    }

    @Test(
        "a path that is not canonical is redirected",
        arguments: [
            ("GET", "//leases", "/leases"), ("GET", "/a/../leases?x=y", "/leases?x=y"),
            ("POST", "/services//forwarder/all", "/services/forwarder/all"),
            ("GET", "//a%0D%0Ab", "/a%0D%0Ab"),
        ]
    )
    func redirect(method: String, target: String, location: String) {
        let response = ask(method, target)
        #expect(response.status == 307)
        #expect(response.fields.first == HTTPField("Location", location))
        #expect(response.body.isEmpty == (method == "POST"))
    }

    @Test(
        "a directory without its slash is redirected to nothing, as in gvproxy",
        arguments: ["/services", "/services/forwarder", "/services/dns", "/services/dhcp"]
    )
    func directories(path: String) {
        let response = ask("GET", path + "?a=b")
        #expect(response.status == 307)
        #expect(response.fields.first == HTTPField("Location", path + "/?a=b"))
        let page = "<a href=\"\(path)/?a=b\">Temporary Redirect</a>.\n\n"
        #expect(response.body == Array(page.utf8))
        #expect(ask("GET", path + "/") == .error(404, "404 page not found"))
    }

    private func ask(
        _ method: String,
        _ path: String,
        _ body: String = "",
        from peer: Endpoint? = nil
    ) -> HTTPResponse {
        fixture.ask(method, path, body, from: peer)
    }
}
