import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("published ports")
struct PublishedPortsTests {
    /// The machine's ports, as far as listening on them goes.
    private final class FakePorts {
        final class Listener: HostForward {
            let endpoint: Endpoint?
            private let closed: () -> Void

            init(_ endpoint: Endpoint, closed: @escaping () -> Void) {
                self.endpoint = endpoint
                self.closed = closed
            }

            func close() { closed() }
        }

        /// `+` and `-` for each listener that was opened and closed.
        var history: [String] = []
        /// Who listens on a port, other programs included: addresses.
        var taken: [String: Set<String>] = [:]

        func open(
            _ port: PublishedPorts.Port,
            _ address: IPAddress
        ) throws(SystemError) -> any HostForward {
            let (text, key) = ("\(address)", "\(port)")
            let others = taken[key, default: []]
            if text == "::" ? !others.isEmpty : others.contains(text) || others.contains("::") {
                throw SystemError(call: "bind \(text) \(key)", errno: EADDRINUSE)
            }
            taken[key, default: []].insert(text)
            history.append("+\(text) \(key)")
            return Listener(Endpoint(address: address, port: port.number)) { [unowned self] in
                taken[key]?.remove(text)
                history.append("-\(text) \(key)")
            }
        }
    }

    private let fake = FakePorts()
    private let ports: PublishedPorts

    init() {
        let fake = fake
        ports = PublishedPorts(log: .discarding()) { port, address throws(SystemError) in
            try fake.open(port, address)
        }
    }

    /// Applies `add` or `remove` of `transport hostIP hostPort`; a dot stands for an empty address.
    private func apply(_ steps: String...) throws {
        for step in steps {
            let words = step.split(separator: " ").map { $0 == "." ? "" : String($0) }
            let text = """
                {"remove":\(words[0] == "remove"),"ports":
                {"1/\(words[1])":[{"HostIp":"\(words[2])","HostPort":"\(words[3])"}]}}
                """
            ports.apply(try PortMessage(decoding: Array(text.utf8)))
        }
    }

    @Test(
        "every spelling of all addresses is one binding, others are their own",
        arguments: [
            (".", ":: 80/tcp"), ("0.0.0.0", ":: 80/tcp"), ("::", ":: 80/tcp"),
            ("127.0.0.1", "127.0.0.1 80/tcp"), ("localhost", "127.0.0.1 80/tcp"),
            ("::1", "::1 80/tcp"), ("192.168.1.5", "192.168.1.5 80/tcp"),
        ]
    )
    func addresses(text: String, name: String) throws {
        try apply("add tcp \(text) 80", "remove tcp \(text) 80")
        #expect(fake.history == ["+\(name)", "-\(name)"])
    }

    @Test func `what was added twice is there until it is removed twice`() throws {
        try apply("add tcp 0.0.0.0 80", "add tcp :: 80", "add tcp . 80", "remove tcp 0.0.0.0 80")
        #expect(fake.history == ["+:: 80/tcp"])
        try apply("remove tcp :: 80")
        #expect(ports.listening == ["[::]:80/tcp"])
        try apply("remove tcp 0.0.0.0 80")
        #expect(fake.history == ["+:: 80/tcp", "-:: 80/tcp"])
        try apply("remove tcp 0.0.0.0 80")
        #expect(ports.listening.isEmpty)
        try apply("add tcp 0.0.0.0 80")
        #expect(ports.listening == ["[::]:80/tcp"])
    }

    @Test func `protocol, address and port tell bindings apart`() throws {
        try apply(
            "add tcp 127.0.0.1 80",
            "add udp 127.0.0.1 80",
            "add tcp 127.0.0.2 80",
            "add tcp 127.0.0.1 81",
            "remove tcp 127.0.0.1 80"
        )
        #expect(ports.listening == ["127.0.0.1:80/udp", "127.0.0.1:81/tcp", "127.0.0.2:80/tcp"])
        ports.close()
        #expect(fake.taken.values.allSatisfy { $0.isEmpty })
    }

    @Test func `a removal with another address takes the port's latest binding`() throws {
        try apply("add tcp 127.0.0.1 80", "add tcp 127.0.0.2 80", "remove tcp 10.0.0.1 80")
        #expect(ports.listening == ["127.0.0.1:80/tcp"])
        try apply("remove udp 127.0.0.1 80", "remove tcp 127.0.0.1 81")
        #expect(ports.listening == ["127.0.0.1:80/tcp"])
        try apply("remove tcp 0.0.0.0 80")
        #expect(ports.listening.isEmpty)
    }

    @Test func `one listener serves all addresses, and single ones come back after it`() throws {
        try apply("add tcp 127.0.0.1 80", "add tcp 0.0.0.0 80", "add tcp 127.0.0.2 80")
        #expect(fake.history == ["+127.0.0.1 80/tcp", "-127.0.0.1 80/tcp", "+:: 80/tcp"])
        try apply("remove tcp 127.0.0.1 80")
        #expect(ports.listening == ["[::]:80/tcp"])
        try apply("remove tcp 0.0.0.0 80")
        #expect(ports.listening == ["127.0.0.2:80/tcp"])
    }

    @Test func `a port that another program has is had when it is free and asked for again`() throws
    {
        fake.taken["80/tcp"] = ["127.0.0.1"]
        try apply("add tcp 127.0.0.1 80", "add tcp 127.0.0.2 80")
        #expect(ports.listening == ["127.0.0.2:80/tcp"])
        // The wildcard cannot be had either: what there was must not be lost over it.
        try apply("add tcp 0.0.0.0 80")
        #expect(ports.listening == ["127.0.0.2:80/tcp"])
        try apply("remove tcp 0.0.0.0 80")
        fake.taken["80/tcp"]?.remove("127.0.0.1")
        try apply("add tcp 127.0.0.1 80")
        #expect(ports.listening == ["127.0.0.1:80/tcp", "127.0.0.2:80/tcp"])
        // Both times it was asked for count.
        try apply("remove tcp 127.0.0.1 80")
        #expect(ports.listening == ["127.0.0.1:80/tcp", "127.0.0.2:80/tcp"])
    }

    @Test func `a binding that could not be had does not take another one along`() throws {
        fake.taken["80/tcp"] = ["127.0.0.2"]
        try apply("add tcp 127.0.0.1 80", "add tcp 127.0.0.2 80", "remove tcp 127.0.0.2 80")
        #expect(ports.listening == ["127.0.0.1:80/tcp"])
    }

    @Test(
        "what makes no sense is passed over, and the rest of the message counts",
        arguments: [
            #""1/sctp":[{"HostPort":"1"}]"#, #""1/unix":[{"HostPort":"1"}]"#,
            #""":[{"HostPort":"1"}]"#, #""1":[{"HostPort":""}]"#, #""1":[{"HostPort":"0"}]"#,
            #""1":[{"HostPort":"65536"}]"#, #""1":[{"HostPort":"+1"}]"#,
            #""1":[{"HostPort":"80-90"}]"#, #""1":[{"HostPort":" 1"}]"#,
            #""1":[{"HostIp":"example.org","HostPort":"1"}]"#,
            #""1":[{"HostIp":"[::1]","HostPort":"1"}]"#, #""1":null"#,
        ]
    )
    func nonsense(entry: String) throws {
        let text = #"{"ports":{\#(entry),"9":[{"HostIp":"127.0.0.1","HostPort":"009"}]}}"#
        ports.apply(try PortMessage(decoding: Array(text.utf8)))
        #expect(ports.listening == ["127.0.0.1:9/tcp"])
    }

    @Test func `there is an end to it`() throws {
        for number in 1...16_400 { try apply("add tcp 127.0.0.1 \(number)") }
        #expect(ports.listening.count == PublishedPorts.mostBindings)
        try apply("remove tcp 127.0.0.1 1", "add tcp 127.0.0.1 16400")
        #expect(ports.listening.count == PublishedPorts.mostBindings)
        #expect(fake.taken["16400/tcp"] == ["127.0.0.1"])
    }

    @Test func `any order of adding and removing ends as the counts say`() throws {
        var random = SeededRandom(seed: 7)
        let addresses = ["0.0.0.0", "127.0.0.1", "127.0.0.2"]
        var counts: [String: Int] = [:]
        for _ in 0..<2_000 {
            let address = addresses.randomElement(using: &random) ?? ""
            let count = counts[address, default: 0]
            if count > 0, Bool.random(using: &random) {
                counts[address] = count - 1
                try apply("remove tcp \(address) 80")
            } else if count < 4 {
                counts[address] = count + 1
                try apply("add tcp \(address) 80")
            }
            let wanted = addresses.filter { counts[$0, default: 0] > 0 }
            let expected =
                wanted.contains("0.0.0.0") ? ["[::]:80/tcp"] : wanted.map { "\($0):80/tcp" }
            #expect(ports.listening == expected)
        }
    }
}
