import Testing

@testable import RDNetKit

@Suite("ctl top")
struct TopScreenTests {
    private static let flows = """
        {"tcp":[
          {"guest":"192.168.127.2:1000","remote":"1.1.1.1:443","phase":"open","name":"a.test",
           "bytesToHost":BYTES,"bytesToGuest":0,"age":7.5,"roundTripMicroseconds":250},
          {"guest":"192.168.127.2:1001","remote":"9.9.9.9:443","phase":"connecting",
           "bytesToHost":5000,"bytesToGuest":5000,"age":700,"roundTripMicroseconds":12345},
          {"guest":"192.168.127.2:1002","remote":"8.8.8.8:80","phase":"open",
           "name":"evil\\u001b[2J.with.a.name.that.has.no.end.test","bytesToHost":0,
           "bytesToGuest":0,"age":1}],
         "udp":[],"echo":[],"total":{"tcp":1003,"udp":0,"echo":0}}
        """
    private static let questions = """
        [{"number":3,"guest":"192.168.127.2","protocol":"tcp","destination":"2.2.2.2:22",
          "name":"b\\u001b.test","process":"ssh (7)","secondsLeft":20}]
        """

    private func sample(
        sent: Int,
        drops: Int = 4,
        questions: String = "[]",
        after seconds: Double = 0,
        since previous: TopSample? = nil
    ) throws -> TopSample {
        func parse(_ text: String) throws -> JSON { try JSONParser.parse(Array(text.utf8)) }
        let parts = Self.flows.split(separator: "BYTES")
        return TopSample(
            flows: try parse(parts.joined(separator: "\(sent)")),
            links: try parse(
                #"[{"id":0,"name":"tap","bytesReceived":\#(sent),"bytesSent":0,"dropped":0}]"#
            ),
            statistics: try parse(
                #"{"Drops":{"no_route":\#(drops),"policy":0},"Failures":{"refused":2}}"#
            ),
            questions: try parse(questions),
            time: Instant(nanoseconds: Int64(seconds * 1e9)),
            since: previous
        )
    }

    private func lines(_ screen: TopScreen, _ sample: TopSample, columns: Int = 80) -> [String] {
        screen.lines(sample, rows: 12, columns: columns).map { line in
            ["\u{1b}[1m", "\u{1b}[7m", "\u{1b}[0m"].reduce(line) { text, attribute in
                text.split(separator: attribute).joined()
            }
        }
    }

    @Test func `it fills the screen, never exceeds it, and escapes what a guest says`() throws {
        let sample = try sample(sent: 100, questions: Self.questions)
        for columns in [20, 80, 100, 200] {
            let lines = lines(TopScreen(network: "x"), sample, columns: columns)
            #expect(lines.count == 12)
            #expect(lines.allSatisfy { $0.count <= columns && !$0.contains("\u{1b}") })
        }
        let wide = lines(TopScreen(network: "x"), sample, columns: 200).joined(separator: "\n")
        #expect(wide.contains("evil\\x1b[2J.with"))
        #expect(wide.contains("> 20 s 192.168.127.2 tcp 2.2.2.2:22 b\\x1b.test by ssh (7)"))
        #expect(wide.contains("192.168.127.2:1000"))
        #expect(!lines(TopScreen(network: "x"), sample).contains { $0.contains(":1000") })
    }

    @Test func `rates and news are what has changed since the sample before`() throws {
        let first = try sample(sent: 1_000)
        let second = try sample(sent: 5_000, drops: 6, after: 2, since: first)
        let lines = lines(TopScreen(network: "unix:///a"), second)
        #expect(lines[0] == "unix:///a  1003 flows  up 2.0 kB/s  down 0 B/s")
        #expect(lines[1] == "link 0 tap  in 2.0 kB/s  out 0 B/s")
        #expect(lines[2] == "dropped no route 6 (+2)")
        #expect(lines[3] == "failed refused 2")
        #expect(lines[5].hasPrefix("tcp  a.test:443 "))
        #expect(lines[5].hasSuffix("open        2.0 kB          5.0 kB  250 us    7 s"))
        // The name is cut, and the port is not.
        #expect(lines[7].hasPrefix("tcp  evil\\x1b[2J.with.a.n…:80 "))
    }

    @Test(
        "flows stand in the chosen order",
        arguments: [
            (TopScreen.Order.rate, ["9.9.9.9", "1.1.1.1", "8.8.8.8"]),
            (.age, ["8.8.8.8", "1.1.1.1", "9.9.9.9"]), (.delay, ["9.9.9.9", "1.1.1.1", "8.8.8.8"]),
            (.name, ["9.9.9.9", "1.1.1.1", "8.8.8.8"]),
        ]
    )
    func order(order: TopScreen.Order, addresses: [String]) throws {
        var screen = TopScreen(network: "x")
        screen.order = order
        let remotes = screen.flows(of: try sample(sent: 0)).map {
            $0.remote.split(separator: ":")[0]
        }
        #expect(remotes.map { String($0) } == addresses)
        screen.filter = "OPEN"
        #expect(screen.flows(of: try sample(sent: 0)).count == 2)
        screen.filter = "9.9"
        #expect(screen.flows(of: try sample(sent: 0)).count == 1)
    }

    @Test(
        "another document than expected is an empty screen",
        arguments: ["null", "7", "[]", "{}", "[[]]", #"{"tcp":7}"#, #"{"Drops":[]}"#]
    )
    func strange(text: String) throws {
        let strange = try JSONParser.parse(Array(text.utf8))
        let sample = TopSample(
            flows: strange,
            links: strange,
            statistics: strange,
            questions: strange,
            time: Instant(nanoseconds: 0),
            since: nil
        )
        for rows in 0..<8 {
            #expect(TopScreen(network: "").lines(sample, rows: rows, columns: 3).count >= rows)
        }
    }
}
