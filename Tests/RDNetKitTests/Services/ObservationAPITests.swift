import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("what the API shows")
struct ObservationAPITests {
    private let fixture: APIFixture
    private var guest: ScriptedGuest { fixture.guest }

    init() throws {
        fixture = try APIFixture()
    }

    @Test(
        "leases, addresses and numbers",
        arguments: [
            (
                "/leases",
                #"{"192.168.127.1":"5a:94:ef:e4:0c:dd","192.168.127.10":"00:00:00:00:00:01","#
                    + #""192.168.127.2":"5a:94:ef:e4:0c:ee"}"#
            ),
            (
                "/services/dhcp/leases",
                #"{"192.168.127.1":"5a:94:ef:e4:0c:dd","192.168.127.10":"00:00:00:00:00:01","#
                    + #""192.168.127.2":"5a:94:ef:e4:0c:ee"}"#
            ),
            ("/stats", #"{"BytesSent":7}"#),
            (
                "/metrics",
                """
                # HELP rdnet_sent_bytes_total Bytes.
                # TYPE rdnet_sent_bytes_total counter
                rdnet_sent_bytes_total 7
                """
            ),
            ("/cam", #"{"5a:94:ef:e4:0c:ee":0}"#),
            ("/flows/failed", "[]"),
            ("/dns", "[]"),
            ("/log-level", #"{"level":"fatal"}"#),
            ("/flows", #"{"tcp":[],"udp":[],"echo":[],"total":{"tcp":0,"udp":0,"echo":0}}"#),
        ]
    )
    func shows(path: String, body: String) {
        for method in ["GET", "POST", "DELETE"] {
            let text = fixture.text(method, path)
            // The rest of the metrics is about this process.
            let shown = path == "/metrics" ? String(text.prefix(body.count + 1)) : text
            #expect(shown == body + "\n")
        }
    }

    @Test func `the log level can be changed while the program runs`() {
        #expect(fixture.ask("POST", "/log-level/set", #"{"level":"debug"}"#) == .empty)
        #expect(fixture.log.level == .debug)
        #expect(fixture.text("GET", "/log-level") == #"{"level":"debug"}"# + "\n")
        let refusal = fixture.ask("POST", "/log-level/set", #"{"level":"loud"}"#)
        #expect(refusal.status == 400)
        #expect(String(decoding: refusal.body, as: UTF8.self).contains("expected one of debug,"))
        #expect(fixture.log.level == .debug)
    }

    @Test func `a link's number is never another one's`() {
        let engine = guest.engine
        let links = (0..<2).map { _ in RecordingLink() }
        for link in links { #expect(engine.ethernet.attach(link, now: guest.loop.now)) }
        engine.ethernet.detach(links[0])
        let later = RecordingLink()
        #expect(engine.ethernet.attach(later, now: guest.loop.now))
        let frame = guest.frame(
            guest.header(GuestWire.Transport.udp, to: ScriptedGuest.gateway),
            []
        )
        for (link, octet) in [(links[1], 2), (later, 3)] as [(RecordingLink, UInt8)] {
            let octets = Array(frame[..<6]) + [2, 0, 0, 0, 0, octet] + frame[12...]
            octets.withUnsafeBytes { engine.receive(Frame($0), from: link, now: guest.loop.now) }
        }
        #expect(
            fixture.text("GET", "/cam")
                == #"{"02:00:00:00:00:02":2,"02:00:00:00:00:03":3,"5a:94:ef:e4:0c:ee":0}"# + "\n"
        )
        let none =
            #""framesReceived":0,"framesSent":0,"bytesReceived":0,"bytesSent":0,"malformed":0,"#
            + #""dropped":0,"queued":0"#
        let shown = [(0, "5a:94:ef:e4:0c:ee"), (3, "02:00:00:00:00:03"), (2, "02:00:00:00:00:02")]
            .map {
                #"{"id":\#($0),"name":"test","format":"frame","age":0.000,\#(none),"#
                    + #""addresses":["\#($1)"],"guests":[{"mac":"\#($1)","addresses":[]}],"#
                    + #""offload":false}"#
            }
        #expect(fixture.text("GET", "/links") == "[\(shown.joined(separator: ","))]\n")
    }

    @Test(
        "a stream's format has gvproxy's name",
        arguments: [
            (.littleEndian16, "hyperkit"), (.bigEndian32, "qemu"), (.extended, "extended"),
        ] as [(StreamFormat, String)]
    )
    func format(format: StreamFormat, name: String) {
        #expect("\(format)" == name)
    }

    @Test func `flows of each kind, with ends, octets, ages and windows`() throws {
        let listener = try HostListener()
        let (tcp, host) = try guest.connect(to: listener)
        tcp.send(.ack, "four")
        try guest.turn(until: { host.text == "four" })
        try host.write("seven!!".utf8)
        try tcp.expect(.ack, at: 1, text: "seven!!")
        tcp.send(.ack)
        let datagrams = try HostDatagrams()
        let remote = Endpoint(address: ScriptedGuest.hostAlias, port: datagrams.port)
        guest.sendUDP(from: 5_000, to: remote, [1, 2, 3])
        guest.engine.udp.sendToHosts(now: guest.loop.now)
        try guest.turn(until: { try datagrams.receive() })
        try guest.advance(.milliseconds(2_250))

        let octets = Data(fixture.ask("GET", "/flows").body)
        let json = try #require(try JSONSerialization.jsonObject(with: octets) as? [String: Any])
        let stream = try #require((json["tcp"] as? [[String: Any]])?.first)
        #expect(stream["guest"] as? String == "\(tcp.local)")
        #expect(stream["remote"] as? String == "192.168.127.254:\(listener.port)")
        #expect(stream["phase"] as? String == "open")
        #expect(stream["bytesToHost"] as? Int == 4)
        #expect(stream["bytesToGuest"] as? Int == 7)
        #expect(stream["age"] as? Double == 2.25)
        #expect(stream["idle"] as? Double == 2.25)
        #expect(stream["windowOfGuest"] as? Int == 65_535)
        #expect(stream["windowForGuest"] as? Int ?? 0 >= 65_536)
        let datagram = try #require((json["udp"] as? [[String: Any]])?.first)
        #expect(datagram["guest"] as? String == "192.168.127.2:5000")
        #expect(datagram["remote"] as? String == "192.168.127.254")
        #expect(datagram["bytesToHost"] as? Int == 3)
        #expect(datagram["bytesToGuest"] as? Int == 0)
        #expect(json["total"] as? [String: Int] == ["tcp": 1, "udp": 1, "echo": 0])
    }

    @Test func `a report is bounded, and the next one goes on`() throws {
        let count = FlowReport.limit + 10
        for port in 0..<UInt16(count) {
            let remote = Endpoint(address: ScriptedGuest.gateway, port: 53)
            let key = FlowKey(
                guest: Endpoint(address: ScriptedGuest.address, port: port),
                remote: remote
            )
            let flow = TCPFlow(
                key,
                guest.engine.tcp,
                phase: .open,
                sequence: SequenceNumber(0),
                now: guest.loop.now
            )
            guest.engine.tcp.table.insert(flow, for: key)
        }
        var seen = Set<String>()
        for (target, expected) in [("/flows", FlowReport.limit), ("/flows?offset=1000", 10)] {
            let octets = Data(fixture.ask("GET", target).body)
            let json = try #require(
                try JSONSerialization.jsonObject(with: octets) as? [String: Any]
            )
            let flows = try #require(json["tcp"] as? [[String: Any]])
            #expect(flows.count == expected)
            seen.formUnion(flows.compactMap { $0["guest"] as? String })
            #expect((json["total"] as? [String: Int])?["tcp"] == count)
        }
        #expect(seen.count == count)
        #expect(fixture.text("GET", "/flows?offset=5000").hasPrefix(#"{"tcp":[],"#))
    }

    @Test("an offset is a number", arguments: ["-1", "x", "", "99999999999"])
    func badOffset(text: String) {
        let expected = HTTPResponse.error(400, "offset: expected the number of flows to pass over")
        #expect(fixture.ask("GET", "/flows?offset=\(text)") == expected)
    }

    @Test func `the capture is switched by POST, goes on where it stopped, and says where`() throws
    {
        let path = fixture.directory.file("frames.pcap")
        func isShown(_ isOn: Bool) -> Bool {
            fixture.text("GET", "/capture").hasPrefix(#"{"on":\#(isOn),"file":"\#(path)","#)
        }
        #expect(isShown(false))
        #expect(fixture.ask("GET", "/capture/on") == .error(400, "post only"))
        for _ in 0..<2 {
            // Repeating a command is no error.
            for _ in 0..<2 { #expect(fixture.ask("POST", "/capture/on") == .empty) }
            #expect(isShown(true))
            #expect(try guest.ping(ScriptedGuest.gateway))
            #expect(fixture.ask("GET", "/capture/off") == .error(400, "post only"))
            for _ in 0..<2 { #expect(fixture.ask("POST", "/capture/off") == .empty) }
            #expect(isShown(false))
        }
        let octets = try #require(FileManager.default.contents(atPath: path))
        // One file header, then two requests and their replies.
        #expect(octets.count > 24 + 4 * (16 + 42))
        #expect(Array(octets.prefix(4)) == [0xd4, 0xc3, 0xb2, 0xa1])
        #expect(octets.dropFirst(4).range(of: Data([0xd4, 0xc3, 0xb2, 0xa1])) == nil)
    }

    @Test func `a capture that cannot begin says why`() throws {
        let path = fixture.directory.file("frames.pcap")
        #expect(mkdir(path, 0o700) == 0)
        let answer = fixture.ask("POST", "/capture/on")
        #expect(answer == .error(500, "open \(path): Is a directory"))
    }
}
