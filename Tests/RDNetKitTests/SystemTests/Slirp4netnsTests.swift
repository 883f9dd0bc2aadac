import Foundation
import Testing

@testable import RDNetKit

/// `slirp4netns` as container engines start it.
@Suite(
    "slirp4netns gives a namespace its network",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
final class Slirp4netnsTests {
    private let host: NetworkNamespace
    private let guest: NetworkNamespace
    private let directory = TemporaryDirectory()
    /// Keeps the exit descriptor open.
    private var holder: RunningProgram?
    private var programs: [RunningProgram] = []

    init() throws {
        host = try NetworkNamespace()
        guest = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
    }

    /// Starts the program under its own name, with a pipe to end it and one that says it is ready.
    ///
    /// The exit descriptor closes when `holder` ends; the file `ready` gets what the program
    /// writes.
    private func start(_ options: String) throws -> RunningProgram {
        let path = directory.path
        try FileManager.default.createSymbolicLink(
            atPath: "\(path)/slirp4netns",
            withDestinationPath: BuiltProgram.rdnet
        )
        try run(["mkfifo", "\(path)/exit"])
        holder = try RunningProgram(["bash", "-c", "exec sleep 10000 >\(path)/exit"])
        let script = """
            exec 3<\(path)/exit 4>\(path)/ready
            exec \(path)/slirp4netns -c -e 3 -r 4 \(options) \
                --netns-type=path /run/netns/\(guest.name) tap0
            """
        let program = try RunningProgram(
            ["bash", "-c", script],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        try #require(
            comesTrue { directory.text(of: "ready") == "1" },
            "\(directory.text(of: "log"))"
        )
        return program
    }

    deinit {
        for program in programs + [holder].compactMap(\.self) { program.end(with: SIGKILL) }
    }

    private func request(_ text: String) throws -> String {
        try run(["bash", "-c", "printf %s '\(text)' | nc -NU \(directory.file("api.sock"))"])
    }

    @Test func `its addresses, the host, DNS, a forward, and its end by the exit descriptor`()
        throws
    {
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: host)
        let inside = try RunningProgram([BuiltProgram.load, "echo", "7"], in: guest)
        let program = try start("--mtu=65520 -a \(directory.file("api.sock"))")
        programs += [server, inside, program]
        #expect(try guest.run("ip", "-br", "address").contains("10.0.2.100/24"))
        #expect(try guest.run("ip", "link", "show", "tap0").contains("mtu 65520"))
        #expect(try guest.run("ip", "route").contains("default via 10.0.2.2 dev tap0"))
        #expect(
            try guest.run("bash", "-c", "printf hello | timeout 60 nc -N 10.0.2.2 7") == "hello"
        )
        let names = try guest.run("dig", "+time=10", "@10.0.2.3", "localhost", "A", "+short")
        #expect(names == "127.0.0.1\n")

        let add =
            #"{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"127.0.0.1","#
            + #""host_port":8080,"guest_port":7}}"#
        #expect(try request(add) == #"{"return":{"id":1}}"#)
        let client = "printf hello | timeout 60 nc -N 127.0.0.1 8080"
        #expect(try host.run("bash", "-c", client) == "hello")
        #expect(
            try request(#"{"execute":"remove_hostfwd","arguments":{"id":1}}"#) == #"{"return":{}}"#
        )
        #expect(throws: (any Error).self) { try host.run("bash", "-c", client) }

        holder?.end(with: SIGKILL)
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 0)
        #expect(try comesTrue { try !guest.run("ip", "link").contains("tap0") })
        #expect(!FileManager.default.fileExists(atPath: directory.file("api.sock")))
    }

    @Test func `a forward's client has the host's address for the guest, over UDP as well`() throws
    {
        let listener = try RunningProgram(
            [
                "socat", "-u", "UDP-RECVFROM:7,fork",
                "SYSTEM:echo $SOCAT_PEERADDR >>\(directory.file("peer"))",
            ],
            in: guest
        )
        let program = try start("-a \(directory.file("api.sock"))")
        programs += [listener, program]
        let add =
            #"{"execute":"add_hostfwd","arguments":{"proto":"udp","host_addr":"127.0.0.1","#
            + #""host_port":8080,"guest_port":7}}"#
        #expect(try request(add) == #"{"return":{"id":1}}"#)
        try host.run("bash", "-c", "printf x >/dev/udp/127.0.0.1/8080")
        #expect(comesTrue { directory.text(of: "peer").hasPrefix("10.0.2.2") })
    }

    @Test func `with its restrictions, neither the host's loopback nor DNS can be reached`() throws
    {
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: host)
        let program = try start("--disable-host-loopback --disable-dns --cidr=10.9.0.0/16")
        programs += [server, program]
        #expect(try guest.run("ip", "-br", "address").contains("10.9.0.100/16"))
        #expect(throws: (any Error).self) { try guest.run("nc", "-z", "10.9.0.2", "7") }
        #expect(throws: (any Error).self) {
            try guest.run("dig", "+time=1", "+tries=1", "@10.9.0.3", "localhost")
        }
        #expect(try !guest.run("ip", "-6", "address").contains("fd00::"))
    }

    @Test func `with --enable-ipv6 the guest reaches the host and DNS, and a forward reaches it`()
        throws
    {
        try host.run("ip", "link", "add", "up0", "type", "veth", "peer", "up1")
        for end in ["up0", "up1"] { try host.run("ip", "link", "set", end, "up") }
        try host.run("ip", "address", "add", "2001:db8::1/64", "dev", "up0", "nodad")
        try host.run("ip", "-6", "route", "add", "default", "dev", "up0")
        let server = try RunningProgram(
            ["socat", "TCP6-LISTEN:7,bind=[::1],fork", "EXEC:cat"],
            in: host
        )
        let inside = try RunningProgram(
            ["socat", "TCP6-LISTEN:8,ipv6only=1,fork", "EXEC:cat"],
            in: guest
        )
        let program = try start("--enable-ipv6 --mtu=65520 -a \(directory.file("api.sock"))")
        programs += [server, inside, program]
        let addresses = try guest.run("ip", "-6", "address", "show", "tap0")
        #expect(addresses.contains("fd00::64/64"))
        #expect(!addresses.contains("fd00::64/64 scope global tentative"))
        #expect(try guest.run("ip", "-6", "route").contains("default via fe80::1 dev tap0"))
        let names = try guest.run("dig", "+time=10", "@fd00::3", "localhost", "AAAA", "+short")
        #expect(names == "::1\n")
        let client = "printf hello | timeout 60 nc -N"
        #expect(
            try comesTrue { try guest.run("bash", "-c", "\(client) fd00::2 7 || :") == "hello" }
        )
        // The guest's program has no IPv4 port, so the client comes over IPv6.
        let add =
            #"{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"127.0.0.1","#
            + #""host_port":8080,"guest_port":8}}"#
        #expect(try request(add) == #"{"return":{"id":1}}"#)
        #expect(
            try comesTrue {
                try host.run("bash", "-c", "\(client) 127.0.0.1 8080 || :") == "hello"
            }
        )
    }

    @Test(
        "mistakes are one sentence and status 2",
        arguments: [
            ([], "expected the PID or the path of a network namespace, and the interface's name"),
            (
                ["/run/netns/x", "tap0"],
                "expected the ID of a process; a path needs --netns-type=path"
            ),
            (["--macaddress=02:00:00:00:00:01", "1"], "--macaddress"),
            (["--cidr=10.0.0.0/26", "1"], "--cidr"),
            (["--target-type=bess", "-c", "/tmp/x"], "--target-type"),
            (["--outbound-addr=10.0.0.1", "1"], "unknown option --outbound-addr"),
        ]
    )
    func mistakes(words: [String], sentence: String) throws {
        let program = try RunningProgram(
            [BuiltProgram.rdnet, "slirp4netns"] + words,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 2)
        let text = directory.text(of: "log")
        #expect(text.contains(sentence) && text.split(separator: "\n").count == 1, "\(text)")
    }

    @Test func `a namespace that is not there is one sentence and status 1`() throws {
        let program = try RunningProgram(
            [BuiltProgram.rdnet, "slirp4netns", "--netns-type=path", "/nowhere", "tap0"],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 1)
        #expect(
            directory.text(of: "log").contains("tap0: open /nowhere: No such file or directory")
        )
    }
}
