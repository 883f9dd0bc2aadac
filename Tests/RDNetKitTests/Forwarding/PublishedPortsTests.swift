import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("published ports")
struct PublishedPortsTests {
    /// A model of the machine's listening ports.
    private final class FakePorts {
        final class Listener: OpenForward {
            let endpoint: Endpoint?
            private let closed: () -> Void

            init(_ endpoint: Endpoint, closed: @escaping () -> Void) {
                self.endpoint = endpoint
                self.closed = closed
            }

            func close() { closed() }
        }

        /// `+` for each opened listener, `-` for each closed one.
        var history: [String] = []
        /// The addresses on which a port is taken, including those of other programs.
        var taken: [String: Set<String>] = [:]

        func open(
            _ port: PublishedPorts.Port,
            _ address: IPAddress
        ) throws(SystemError) -> any OpenForward {
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

    /// The publishers whose processes have ended.
    private final class Ended {
        var publishers: Set<PortPublisher> = [.unknown]
    }

    private let fake = FakePorts()
    private let ended = Ended()
    private let ports: PublishedPorts

    init() {
        let (fake, ended) = (fake, ended)
        ports = PublishedPorts(log: .discarding()) { port, address throws(SystemError) in
            try fake.open(port, address)
        }
        ports.hasEnded = { ended.publishers.contains($0) }
    }

    private func publisher(_ number: UInt64) -> PortPublisher { PortPublisher(number: number) }

    /// Applies `add` or `remove` of `transport hostIP hostPort` as one publisher.
    ///
    /// A dot stands for an empty address.
    private func apply(_ steps: String..., as number: UInt64 = 1) throws {
        for step in steps {
            let words = step.split(separator: " ").map { $0 == "." ? "" : String($0) }
            let text = """
                {"remove":\(words[0] == "remove"),"ports":
                {"1/\(words[1])":[{"HostIp":"\(words[2])","HostPort":"\(words[3])"}]}}
                """
            ports.apply(try PortMessage(decoding: Array(text.utf8)), from: publisher(number))
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

    @Test(
        "a binding that was added twice goes with one removal",
        arguments: [1, 2],
        [1, 2, 3] as [UInt64]
    )
    func addedTwice(adder: UInt64, remover: UInt64) throws {
        // Each process of a script ends before the next one sends a message.
        ended.publishers.formUnion([publisher(2), publisher(3)])
        try apply("add tcp 0.0.0.0 80", as: adder)
        try apply("add tcp :: 80", "add tcp . 80", as: adder)
        try apply("remove tcp 0.0.0.0 80", as: remover)
        #expect(fake.history == ["+:: 80/tcp", "-:: 80/tcp"])
        try apply("remove tcp 0.0.0.0 80")
        #expect(ports.listening.isEmpty)
        try apply("add tcp 0.0.0.0 80")
        #expect(ports.listening == ["[::]:80/tcp"])
    }

    @Test func `a binding of two processes stays until both have removed it, or ended`() throws {
        try apply("add tcp 127.0.0.1 80", "add tcp 127.0.0.1 80", as: 1)
        try apply("add tcp 127.0.0.1 80", as: 2)
        try apply("remove tcp 127.0.0.1 80", as: 1)
        #expect(ports.listening == ["127.0.0.1:80/tcp"])
        try apply("remove tcp 127.0.0.1 80", as: 2)
        #expect(ports.listening.isEmpty)

        try apply("add tcp 127.0.0.1 80", as: 1)
        try apply("add tcp 127.0.0.1 80", as: 2)
        ended.publishers.insert(publisher(1))
        #expect(ports.listening == ["127.0.0.1:80/tcp"])
        try apply("remove tcp 127.0.0.1 80", as: 2)
        #expect(ports.listening.isEmpty)
    }

    @Test func `a process that claims nothing speaks for all`() throws {
        try apply("add tcp 127.0.0.1 80", as: 1)
        try apply("add tcp 127.0.0.1 80", as: 2)
        try apply("remove tcp 127.0.0.1 80", as: 3)
        #expect(ports.listening.isEmpty)
    }

    @Test func `a held port stays until its holder ends, whoever removes it`() throws {
        ended.publishers.insert(publisher(9))
        let port = PublishedPorts.Port(transport: .tcp, number: 80)
        try ports.hold(port, for: publisher(9))
        try apply("remove tcp 0.0.0.0 80", as: 1)
        try apply("add tcp 0.0.0.0 80", "remove tcp 0.0.0.0 80", as: 2)
        #expect(ports.listening == ["[::]:80/tcp"])
        try ports.hold(port, for: publisher(10))
        ports.release(publisher(9))
        #expect(ports.listening == ["[::]:80/tcp"])
        ports.release(publisher(10))
        #expect(fake.history == ["+:: 80/tcp", "-:: 80/tcp"])

        fake.taken["80/tcp"] = ["127.0.0.1"]
        let error = SystemError(call: "bind :: 80/tcp", errno: EADDRINUSE)
        #expect(throws: PublishedPorts.HoldError.refused(error)) {
            try ports.hold(port, for: publisher(11))
        }
        #expect(!ports.isClaimant(publisher(11)))
    }

    @Test func `dropping a publisher leaves what others claim as well`() throws {
        try apply("add tcp 127.0.0.1 80", "add tcp 0.0.0.0 81", "add udp 127.0.0.1 80", as: 1)
        try apply("add tcp 127.0.0.1 80", "add tcp 127.0.0.1 81", as: 2)
        ports.drop([publisher(1), publisher(3)])
        #expect(ports.listening == ["127.0.0.1:80/tcp", "127.0.0.1:81/tcp"])
        #expect(!ports.isClaimant(publisher(1)) && ports.isClaimant(publisher(2)))
    }

    @Test func `one message that names both families' wildcards takes nothing else along`() throws {
        try apply("add tcp 127.0.0.1 80")
        for isRemoval in [false, true] {
            let text = """
                {"remove":\(isRemoval),"ports":{"1/tcp":[{"HostIp":"0.0.0.0","HostPort":"80"},
                {"HostIp":"::","HostPort":"80"}]}}
                """
            let message = try PortMessage(decoding: Array(text.utf8))
            ports.apply(message, from: publisher(1))
            #expect(ports.listening == [isRemoval ? "127.0.0.1:80/tcp" : "[::]:80/tcp"])
        }
    }

    @Test func `loopback of either family is a binding of its own`() throws {
        try apply("add tcp 127.0.0.1 80", "add tcp ::1 80", "remove tcp 127.0.0.1 80")
        #expect(ports.listening == ["[::1]:80/tcp"])
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
        // The wildcard address is not available either; the existing listener must survive the
        // attempt.
        try apply("add tcp 0.0.0.0 80")
        #expect(ports.listening == ["127.0.0.2:80/tcp"])
        try apply("remove tcp 0.0.0.0 80")
        fake.taken["80/tcp"]?.remove("127.0.0.1")
        try apply("add tcp 127.0.0.1 80")
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
        ports.apply(try PortMessage(decoding: Array(text.utf8)), from: publisher(1))
        #expect(ports.listening == ["127.0.0.1:9/tcp"])
    }

    @Test func `there is an end to it`() throws {
        for number in 1...16_400 { try apply("add tcp 127.0.0.1 \(number)") }
        #expect(ports.listening.count == PublishedPorts.maximumBindings)
        try apply("remove tcp 127.0.0.1 1", "add tcp 127.0.0.1 16400")
        #expect(ports.listening.count == PublishedPorts.maximumBindings)
        #expect(fake.taken["16400/tcp"] == ["127.0.0.1"])
    }

    @Test func `any order of adding and removing ends as the claims say`() throws {
        var random = SeededRandom(seed: 7)
        let addresses = ["0.0.0.0", "127.0.0.1", "127.0.0.2"]
        var claims: [String: Set<UInt64>] = [:]
        for _ in 0..<2_000 {
            let address = addresses.randomElement(using: &random) ?? ""
            let number = UInt64.random(in: 1...3, using: &random)
            if claims[address, default: []].contains(number), Bool.random(using: &random) {
                claims[address]?.remove(number)
                try apply("remove tcp \(address) 80", as: number)
            } else {
                claims[address, default: []].insert(number)
                try apply("add tcp \(address) 80", as: number)
            }
            let wanted = addresses.filter { claims[$0, default: []].isEmpty == false }
            let expected =
                wanted.contains("0.0.0.0") ? ["[::]:80/tcp"] : wanted.map { "\($0):80/tcp" }
            #expect(ports.listening == expected)
        }
    }
}
