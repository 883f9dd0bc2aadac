import Testing

@testable import RDNetKit

/// Tables of another program's documents, and of documents that a live network rarely produces.
@Suite("ctl's tables")
struct CtlReportTests {
    private func document(_ text: String) throws -> JSON {
        try JSONParser.parse(Array(text.utf8))
    }

    @Test func `flows stand in the order of their guests' addresses, in units`() throws {
        let flows = try document(
            """
            {"tcp":[
              {"guest":"192.168.127.10:80","remote":"1.1.1.1:443","phase":"open",
               "bytesToHost":999,"bytesToGuest":12345678,"age":7300.5,"idle":125.25},
              {"guest":"192.168.127.2:81","remote":"8.8.8.8:443","phase":"connecting",
               "bytesToHost":0,"bytesToGuest":0,"age":0.04,"idle":59.99},
              {"guest":"192.168.127.2:81","remote":"1.1.1.1:443","phase":"open",
               "bytesToHost":0,"bytesToGuest":0,"age":60,"idle":0.0}],
             "udp":[{"guest":"192.168.127.2:53","remote":null,"bytesToHost":1,"bytesToGuest":2,
               "age":1.0,"idle":1.0}],
             "echo":[],"total":{"tcp":1003,"udp":1,"echo":0}}
            """
        )
        let table = """
            KIND  GUEST              REMOTE       STATE       TO HOST  TO GUEST    AGE    IDLE
            tcp   192.168.127.2:81   1.1.1.1:443  open            0 B       0 B  1 min   0.0 s
            tcp   192.168.127.2:81   8.8.8.8:443  connecting      0 B       0 B  0.0 s  59.9 s
            tcp   192.168.127.10:80  1.1.1.1:443  open          999 B     12 MB    2 h   2 min
            udp   192.168.127.2:53   -            -               1 B       2 B  1.0 s   1.0 s
            3 of 1003 tcp flows are shown

            """
        #expect(CtlReport.flows(flows) == table)
    }

    @Test func `zones show defaults, expressions, and that they are empty`() throws {
        let zones = try document(
            #"""
            [{"Name":"crc.testing.","Records":[{"Name":"","IP":"1.2.3.4","Regexp":"^crc-(.*?)$"},
              {"Name":"x","IP":""}],"DefaultIP":"1.2.3.5"},
             {"Name":"empty.","Records":null,"DefaultIP":""}]
            """#
        )
        let table = """
            ZONE          NAME           ADDRESS
            crc.testing.  /^crc-(.*?)$/  1.2.3.4
            crc.testing.  x              -
            crc.testing.  *              1.2.3.5
            empty.        -              -

            """
        #expect(CtlReport.names(zones) == table)
    }

    @Test func `counters of any depth are named by their path, and zeros only counted`() throws {
        let tree = try document(
            #"{"BytesSent":1500,"ICMP":{"V4":{"Sent":0,"PacketsReceived":{"Echo":7}}},"Z":0}"#
        )
        let table = """
            COUNTER                        VALUE
            BytesSent                     1.5 kB
            ICMP.V4.PacketsReceived.Echo       7
            2 more are 0

            """
        #expect(CtlReport.statistics(tree) == table)
    }

    @Test func `addresses are in the order of numbers, and what is none comes last`() throws {
        let leases = try document(#"{"10.0.0.10":"b","10.0.0.9":"a","<nil>":"c"}"#)
        let table = """
            ADDRESS    MAC
            10.0.0.9   a
            10.0.0.10  b
            <nil>      c

            """
        #expect(CtlReport.leases(leases) == table)
    }

    @Test func `leases have a name and an end, if they have one`() throws {
        let leases = try document(
            #"[{"address":"10.0.0.9","mac":"a","name":"web","expires":3540},"#
                + #"{"address":"fd00::9","mac":"a"}]"#
        )
        let table = """
            ADDRESS   MAC  NAME  EXPIRES
            10.0.0.9  a    web    59 min
            fd00::9   a    -           -

            """
        #expect(CtlReport.leases(leases) == table)
    }

    @Test func `what would do something to a terminal is only shown`() throws {
        let forwards = try document(
            #"[{"local":"\u001b[2J","remote":"a\r\nb","protocol":"tcp"}]"#
        )
        let row = CtlReport.forwards(forwards).split(separator: "\n").last
        #expect(row == "tcp       \\x1b[2J  a\\r\\nb")
    }

    @Test(
        "another document than expected is an empty table, never a crash",
        arguments: ["null", "7", "[]", "{}", "[[]]", #"{"tcp":7}"#, #"[{"Records":7}]"#]
    )
    func strange(text: String) throws {
        let strange = try document(text)
        for report in [
            CtlReport.forwards, CtlReport.leases, CtlReport.names, CtlReport.statistics,
            CtlReport.flows, CtlReport.links, CtlReport.capture,
        ] {
            #expect(!report(strange, 9).isEmpty)
        }
    }

    @Test(
        "a name that is added goes to the zone that answers for it, with what that had",
        arguments: [
            ("x.a.test", #"{"Name":"a.test.","Records":[{"Name":"x","IP":"1.2.3.4"}]}"#),
            ("X.Y.A.test", #"{"Name":"a.test.","Records":[{"Name":"x.y","IP":"1.2.3.4"}]}"#),
            (
                "x.b.test",
                #"{"Name":"B.test.","Records":[{"Name":"x","IP":"1.2.3.4"}],"DefaultIP":"9.9.9.9"}"#
            ),
            ("b.test", #"{"Name":"test.","Records":[{"Name":"b","IP":"1.2.3.4"}]}"#),
            ("x.ya.test", #"{"Name":"ya.test.","Records":[{"Name":"x","IP":"1.2.3.4"}]}"#),
        ]
    )
    func addedName(name: String, expected: String) throws {
        let zones = try document(
            #"[{"Name":""},{"Name":"a.test."},{"Name":"B.test.","DefaultIP":"9.9.9.9"}]"#
        )
        let address = try #require(IPAddress("1.2.3.4"))
        let posted = CtlZone.adding(name, address, to: zones)
        #expect(String(decoding: posted.octets, as: UTF8.self) == expected)
    }
}
