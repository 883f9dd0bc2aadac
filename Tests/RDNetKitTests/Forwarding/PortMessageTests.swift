import Testing

@testable import RDNetKit

@Suite("message about published ports")
struct PortMessageTests {
    private typealias Binding = PortMessage.Binding

    /// The message of each of the agent's sources, and its meaning as `transport hostIP hostPort`.
    @Test(
        "every source of Rancher Desktop's agent is understood",
        arguments: [
            // The Kubernetes API, at the agent's start.
            (
                #"{"remove":false,"ports":{"6443/tcp":[{"HostIp":"127.0.0.1","HostPort":"6443"}]},"connectAddrs":null}"#,
                false, ["tcp 127.0.0.1 6443"]
            ),
            // docker run -p 8080:80.
            (
                #"{"remove":false,"ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]},"connectAddrs":null}"#,
                false, ["tcp 0.0.0.0 8080"]
            ),
            // docker run -p 127.0.0.1:5432:5432 -p 5353:53/udp.
            (
                #"{"remove":false,"ports":{"53/udp":[{"HostIp":"0.0.0.0","HostPort":"5353"}],"5432/tcp":[{"HostIp":"127.0.0.1","HostPort":"5432"}]},"connectAddrs":null}"#,
                false, ["udp 0.0.0.0 5353", "tcp 127.0.0.1 5432"]
            ),
            // docker stop.
            (
                #"{"remove":true,"ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]},"connectAddrs":null}"#,
                true, ["tcp 0.0.0.0 8080"]
            ),
            // containerd's /tasks/start, nerdctl run -p 127.0.0.1:8081:80.
            (
                #"{"remove":false,"ports":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8081"}]},"connectAddrs":null}"#,
                false, ["tcp 127.0.0.1 8081"]
            ),
            // A Kubernetes service.
            (
                #"{"remove":false,"ports":{"30080/tcp":[{"HostIp":"127.0.0.1","HostPort":"30080"}]},"connectAddrs":null}"#,
                false, ["tcp 127.0.0.1 30080"]
            ),
            // The agent's scan of /proc/net.
            (
                #"{"remove":false,"ports":{"9000/udp":[{"HostIp":"0.0.0.0","HostPort":"9000"}]},"connectAddrs":null}"#,
                false, ["udp 0.0.0.0 9000"]
            ),
            // A port that is exposed but not published.
            (#"{"remove":false,"ports":{"80/tcp":null},"connectAddrs":null}"#, false, []),
            (#"{"remove":true,"ports":null,"connectAddrs":null}"#, true, []),
        ] as [(String, Bool, [String])]
    )
    func sources(text: String, isRemoval: Bool, bindings: [String]) throws {
        let message = try PortMessage(decoding: Array(text.utf8) + [0x0a])
        #expect(message.isRemoval == isRemoval)
        let texts = message.bindings.map { "\($0.transport) \($0.hostIP) \($0.hostPort)" }
        #expect(texts == bindings)
    }

    @Test(
        "names, zero values and repetitions are Go's",
        arguments: [
            (
                #"{"REMOVE":true,"Ports":{"1/tcp":[{"hostip":"a","HOSTPORT":"1"}]}}"#, true,
                ["tcp a 1"]
            ),
            (#"{"HostIP":1,"future":{"x":[1,2]},"remove":true}"#, true, []),
            (#"{}"#, false, []), (#"null"#, false, []), (#" {"remove":null}"#, false, []),
            (#"{"remove":true,"remove":false}"#, false, []),
            (#"{"ports":{"1":[{"HostPort":"1"}]}}"#, false, ["tcp  1"]),
            (
                #"{"ports":{"1/":[{"HostPort":"1"}],"2/UDP":[{"HostPort":"2"}]}}"#, false,
                ["tcp  1", "udp  2"]
            ),
            (#"{"ports":{"":[{}],"/udp":[{}],"9/sctp/x":[{}]}}"#, false, ["  ", "  ", "sctp  "]),
            (
                #"{"ports":{"1/tcp":[null,{"HostIp":null,"HostPort":"2"}]}}"#, false,
                ["tcp  ", "tcp  2"]
            ),
            // A second map adds to the first and replaces its entries; null empties the first.
            (
                #"{"ports":{"1":[{"HostPort":"1"}],"2":[]},"ports":{"2":[{"HostPort":"2"}],"1":[{"HostPort":"3"}]}}"#,
                false, ["tcp  3", "tcp  2"]
            ),
            (#"{"ports":{"1":[{"HostPort":"1"}]},"ports":null}"#, false, []),
            (#"{"ports":{"1":[{"HostPort":"1","hostport":"2"}]}}"#, false, ["tcp  2"]),
            (#"{"connectAddrs":[{"network":"tcp","addr":"x"},null]}"#, false, []),
            (#"{"remove":true}{"remove":false} and the rest"#, true, []),
        ] as [(String, Bool, [String])]
    )
    func decoding(text: String, isRemoval: Bool, bindings: [String]) throws {
        try sources(text: text, isRemoval: isRemoval, bindings: bindings)
    }

    @Test(
        "a value of another type spoils the whole message",
        arguments: [
            #"{"ports":{"1/tcp":[{"HostPort":80}]}}"#, #"{"ports":{"1/tcp":[{"HostIp":[]}]}}"#,
            #"{"ports":{"1/tcp":{"HostPort":"80"}}}"#, #"{"ports":[]}"#, #"{"ports":"x"}"#,
            #"{"remove":"true"}"#, #"{"remove":1}"#, #"{"connectAddrs":{}}"#,
            #"{"connectAddrs":[{"addr":1}]}"#, #"{"connectAddrs":["x"]}"#, "[]", "1", #""x""#,
            "true", "", "{", #"{"remove":true"#, "{remove:true}", #"{"remove":true,}"#, "\u{0}",
        ]
    )
    func refusal(text: String) {
        #expect(throws: JSONError.self) { try PortMessage(decoding: Array(text.utf8)) }
    }

    @Test func `as many bindings as fit into a message are decoded`() throws {
        let ports = (1...16_000).map { #""\#($0)":[{"HostPort":"\#($0)"}]"# }.joined(separator: ",")
        let octets = Array("{\"ports\":{\(ports)}}".utf8)
        #expect(octets.count <= PortMessageReader.maximumLength)
        #expect(try PortMessage(decoding: octets).bindings.count == 16_000)
    }

    @Test(
        "the end of the object is found wherever the stream is cut",
        arguments: [
            #"{"a":{"b":[1,{"c":"}"}]}}"#, #" {"a":"\"}{\\"}"#, #"{"}":"{"}"#, "{}",
            #"{"a":"\\\"}"}"#, "\n\t[1]",
        ]
    )
    func extent(text: String) {
        let octets = Array(text.utf8)
        for cut in 0...octets.count {
            var reader = PortMessageReader()
            let first = octets[..<cut].withUnsafeBytes { reader.append($0) }
            #expect(first == (cut == octets.count))
            guard !first else { continue }
            let rest = Array(octets[cut...]) + Array("trailing".utf8)
            #expect(rest.withUnsafeBytes { reader.append($0) })
            #expect(reader.octets == octets)
        }
    }

    @Test(
        "what begins no object is not waited for",
        arguments: ["x", "1", "}", "nul", "\"", "\u{0}"]
    )
    func nothingToWaitFor(text: String) {
        var reader = PortMessageReader()
        let isDone = Array(text.utf8).withUnsafeBytes { reader.append($0) }
        #expect(isDone)
    }
}
