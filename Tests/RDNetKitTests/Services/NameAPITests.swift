import Testing

@testable import RDNetKit

@Suite("DNS zones in the API")
struct NameAPITests {
    private let fixture: APIFixture

    init() throws {
        fixture = try APIFixture()
    }

    private func add(_ body: String) -> HTTPResponse {
        fixture.ask("POST", "/services/dns/add", body)
    }

    private func list() -> String { fixture.text("GET", "/services/dns/all") }

    private func address(of name: String) throws -> [DNSRecord]? {
        fixture.dns.zones.answer(to: try DNSZoneTests.question(name, 1))?.records
    }

    @Test func `zones are listed with the names of Go's fields`() {
        fixture.dns.zones = .builtIn(
            gateway: ScriptedGuest.gateway,
            hostAlias: ScriptedGuest.hostAlias
        )
        let records =
            #""Records":[{"Name":"gateway","IP":"192.168.127.1"},{"Name":"host","IP":"192.168.127.254"}]"#
        let zones = ["rancher-desktop.internal.", "docker.internal.", "containers.internal."]
            .map { #"{"Name":"\#($0)",\#(records),"DefaultIP":""}"# }
        #expect(list() == "[\(zones.joined(separator: ","))]\n")
    }

    @Test func `a zone that is added answers, with records, expressions and default`() throws {
        #expect(
            add(
                """
                {"Name":"crc.testing.","DefaultIP":"192.168.127.2","Records":[
                 {"Name":"host","IP":"192.168.127.254"},
                 {"Regexp":"^crc-(.*?)-master-0$","IP":"192.168.126.11"}]}
                """
            ) == .empty
        )
        #expect(
            list() == #"[{"Name":"crc.testing.","Records":[{"Name":"host","IP":"192.168.127.254"},"#
                + #"{"Name":"","IP":"192.168.126.11","Regexp":"^crc-(.*?)-master-0$"}],"#
                + #""DefaultIP":"192.168.127.2"}]"# + "\n"
        )
        let host = DNSRecord.address(ScriptedGuest.hostAlias)
        #expect(try address(of: "host.crc.testing") == [host])
        let cluster = try #require(IPAddress("192.168.126.11"))
        #expect(try address(of: "CRC-ab1-master-0.crc.testing") == [.address(cluster)])
        #expect(
            try address(of: "x.crc-ab1-master-0.crc.testing") == [.address(ScriptedGuest.address)]
        )
        #expect(try address(of: "any.crc.testing") == [.address(ScriptedGuest.address)])
    }

    /// The same cases as in gvproxy's own tests.
    @Test func `zones merge: place kept, new records first, default replaced even by nothing`() {
        for body in [
            #"{"Name":"a.","DefaultIP":"10.0.0.1","Records":[{"Name":"x","IP":"10.0.0.2"}]}"#,
            #"{"Name":"b."}"#,
            #"{"name":"a.","records":[{"name":"x","ip":"10.0.0.3"}]}"#,
        ] {
            #expect(add(body) == .empty)
        }
        #expect(
            list() == #"[{"Name":"a.","Records":[{"Name":"x","IP":"10.0.0.3"},"#
                + #"{"Name":"x","IP":"10.0.0.2"}],"DefaultIP":""},"#
                + #"{"Name":"b.","Records":null,"DefaultIP":""}]"# + "\n"
        )
    }

    @Test("an empty zone holds every name", arguments: ["{}", "null", #"{"Records":null,"X":1}"#])
    func emptyZone(body: String) throws {
        #expect(add(body) == .empty)
        #expect(list() == #"[{"Name":"","Records":null,"DefaultIP":""}]"# + "\n")
        #expect(try address(of: "example.com") == [])
    }

    @Test(
        "what is no zone is told in Go's words",
        arguments: [
            ("", "EOF"), ("x", "invalid character 'x' looking for beginning of value"),
            ("[]", "json: cannot unmarshal array into Go value of type types.Zone"),
            (
                #"{"Name":5}"#,
                "json: cannot unmarshal number into Go struct field Zone.Name of type string"
            ),
            (
                #"{"Records":{}}"#,
                "json: cannot unmarshal object into Go struct field Zone.Records of type []types.Record"
            ),
            (
                #"{"Records":[{"Name":true}]}"#,
                "json: cannot unmarshal bool into Go struct field Record.Records.Name of type string"
            ),
            (#"{"DefaultIP":"nope"}"#, "invalid IP address: nope"),
            (#"{"Records":[{"IP":"1.2.3"}]}"#, "invalid IP address: 1.2.3"),
            (#"{"Records":[{"Regexp":"("}]}"#, "error parsing regexp: missing closing ): `(`"),
        ]
    )
    func refusal(body: String, text: String) {
        #expect(add(body) == .error(400, text))
        #expect(list() == "[]\n")
    }

    @Test func `zones are added by POST alone`() {
        #expect(fixture.ask("GET", "/services/dns/add", "{}") == .error(400, "post only"))
    }

    @Test func `a table that is full says so`() {
        for number in 0..<DNSZones.limit { #expect(add(#"{"Name":"z\#(number)."}"#) == .empty) }
        #expect(add(#"{"Name":"more."}"#) == .error(500, DNSZones.fullSentence))
    }

    @Test func `expressions cannot make every question slow`() {
        let body = { (name: Int) in #"{"Name":"z\#(name).","Records":[{"Regexp":"a{1000}"}]}"# }
        let possible = DNSZones.patternBudget / 1_001
        for name in 0..<possible { #expect(add(body(name)) == .empty) }
        #expect(add(body(possible)) == .error(500, DNSZones.fullSentence))
        #expect(add(#"{"Name":"plain."}"#) == .empty)
    }
}
