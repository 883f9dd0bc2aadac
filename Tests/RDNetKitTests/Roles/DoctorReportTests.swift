import Testing

@testable import RDNetKit

@Suite("what the doctor finds")
struct DoctorReportTests {
    private func json(_ text: String) throws -> JSON {
        try JSONParser.parse(Array(text.utf8))
    }

    @Test func `a host without a route, and without IPv6`() throws {
        let findings = DoctorReport.routes(
            try json(#"{"hasRouteIPv4":false,"hasRouteIPv6":false,"ipv6":"fdc0:a87f::/64"}"#)
        )
        #expect(findings.map(\.verdict) == [.failure, .ok])
        #expect(findings[0].next?.isEmpty == false)
    }

    @Test func `another version at the other end`() throws {
        let finding = DoctorReport.hostEnd(try json(#"{"version":"0.0.9"}"#), at: "unix:///x")
        #expect(finding.verdict == .warning)
        #expect(finding.text.contains("rdnet 0.0.9 at unix:///x"))
    }

    @Test(
        "links",
        arguments: [
            (#"[]"#, .failure),
            (#"[{"id":0,"framesReceived":0,"framesSent":9}]"#, .failure),
            (#"[{"id":0,"framesReceived":5,"framesSent":9,"malformed":2}]"#, .warning),
            (
                #"[{"id":0,"framesReceived":5,"framesSent":9,"malformed":0,"dropped":5}]"#,
                .warning
            ),
            (
                #"[{"id":0,"framesReceived":5,"framesSent":999,"malformed":0,"dropped":5}]"#,
                .ok
            ),
        ] as [(String, Finding.Verdict)]
    )
    func links(document: String, verdict: Finding.Verdict) throws {
        #expect(DoctorReport.links(try json(document)).map(\.verdict) == [verdict])
    }

    @Test func `leases are those of connected guests`() throws {
        let leases = try json(
            #"[{"address":"192.168.127.2","mac":"a"},{"address":"fdc0:a87f::2","mac":"b"}]"#
        )
        func verdicts(_ links: String) throws -> [Finding.Verdict] {
            DoctorReport.leases(leases, on: try json(links), hasIPv6: true).map(\.verdict)
        }
        #expect(try verdicts(#"[{"addresses":["a","b"]}]"#) == [.ok, .ok])
        #expect(try verdicts(#"[{"addresses":["b"]}]"#) == [.failure, .ok])
        #expect(try verdicts(#"[]"#) == [])
    }

    @Test func `resolvers are judged by a query, else by what the network has met`() throws {
        let servers = try json(
            #"[{"server":"10.0.0.1:53","state":"up"},{"server":"10.0.0.2:53","state":"down"},"#
                + #"{"server":"10.0.0.3:53","state":"up","answers":4,"failures":4}]"#
        )
        let unknown = DoctorReport.resolvers(servers) { _ in nil }
        #expect(unknown.map(\.verdict) == [.ok, .failure, .ok])
        let asked = DoctorReport.resolvers(servers) { server in
            server.hasPrefix("10.0.0.1") ? .failed("no answer in 1 s") : .answered(.milliseconds(2))
        }
        #expect(asked.map(\.verdict) == [.failure, .ok, .warning])
        #expect(asked[1].text.contains("answers in 2.0 ms"))
        #expect(DoctorReport.resolvers(.array([])) { _ in nil }.map(\.verdict) == [.failure])
    }

    @Test func `forwards that wait, that are refused, and that work`() throws {
        let forwards = try json(
            #"[{"local":":1","remote":"a","protocol":"tcp"},"#
                + #"{"local":":2","remote":"a","protocol":"tcp","age":1,"lastResult":"refused"},"#
                + #"{"local":":3","remote":"a","protocol":"tcp","age":1,"lastResult":"connected"}]"#
        )
        #expect(DoctorReport.forwards(forwards).map(\.verdict) == [.failure, .warning, .ok])
    }

    @Test func `failures are one line for each reason, and old ones are none`() throws {
        let failures = try json(
            #"[{"reason":"no_route","count":2,"age":1.0,"next":"x"},"#
                + #"{"reason":"no_route","count":3,"age":1.0,"next":"x"},"#
                + #"{"reason":"refused","count":1,"age":301.0,"next":"x"}]"#
        )
        let findings = DoctorReport.failures(failures)
        #expect(findings.count == 1)
        #expect(findings[0].text.hasPrefix("5 × no route"))
        #expect(findings[0].next == "x")
    }

    @Test func `a line has the verdict, the subject, the cause and the next step`() {
        let findings = [Finding.ok("MTU", "1500"), .failure("route", "none", next: "connect")]
        #expect(
            Finding.lines(findings)
                == "ok       MTU    1500\nfailure  route  none; next: connect\n"
        )
    }
}
