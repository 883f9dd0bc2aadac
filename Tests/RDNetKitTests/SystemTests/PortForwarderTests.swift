import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Both sides of `port-forwarder`, with real clients and servers.
@Suite(
    "port-forwarder",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct PortForwarderTests {
    private func sums(_ text: String) -> Set<Substring> {
        Set(text.split { $0 == "\n" || $0 == " " }.filter { $0.count == 64 })
    }

    @Test func `a TCP connection leads into the VM, byte for byte, with half-close`() throws {
        let pair = try ForwarderPair.connected()
        let server = try pair.serve(
            "socat",
            "-t60",
            "TCP-LISTEN:9000,fork,reuseaddr",
            "SYSTEM:sha256sum",
            until: ":9000"
        )
        defer { server.end(with: SIGKILL) }
        try pair.expose(8080, to: 9000)
        try pair.shell("head -c 20000000 /dev/urandom >@/file")
        let sums = sums(
            try pair.shell("sha256sum <@/file; socat -t60 - TCP:127.0.0.1:8080 <@/file")
        )
        #expect(sums.count == 1)
    }

    @Test func `many connections at once get their own bytes`() throws {
        let pair = try ForwarderPair.connected()
        let server = try pair.serveEcho(9000)
        defer { server.end(with: SIGKILL) }
        try pair.expose(8080, to: 9000)
        // Other tests of this process block SIGPIPE, which would end yes(1) without a complaint.
        let script = """
            text() { yes $1 2>/dev/null | head -c 200000; }
            for ((i = 0; i < 50; i++)); do
                { text $i | sha256sum >@/sent.$i
                    text $i | socat -t60 - TCP:127.0.0.1:8080 |
                        sha256sum >@/got.$i; } &
            done; wait
            for ((i = 0; i < 50; i++)); do cmp @/sent.$i @/got.$i 2>&1; done; echo all
            """
        let output = try pair.shell(script)
        #expect(output == "all\n", "\(output), \(pair.directory.text(of: "servers"))")
    }

    @Test func `a client that does not read holds up only itself`() throws {
        let pair = try ForwarderPair.connected()
        let flood = try pair.serve("socat", "-u", "/dev/zero", "TCP-LISTEN:9000", until: ":9000")
        let echo = try pair.serveEcho(9001)
        defer { for server in [flood, echo] { server.end(with: SIGKILL) } }
        try pair.expose(8080, to: 9000)
        try pair.expose(8081, to: 9001)
        // The first client reads nothing until its channel's window is full.
        let script = """
            exec 3<>/dev/tcp/127.0.0.1/8080
            until curl -s --unix-socket @/control http://unix/forwards/dump |
                awk '/:9000/ && /received/ { split($4, r, "[=/]"); if (r[2] > 0 && r[2] == r[3]) ok = 1 }
                    END { exit !ok }'; do :; done
            echo alive | socat -t20 - TCP:127.0.0.1:8081
            """
        #expect(try pair.shell(script) == "alive\n")
    }

    @Test func `a port of the control file system leads into the VM while its file is open`() throws
    {
        let pair = try ForwarderPair()
        try pair.startGuest()
        let socket = pair.directory.file("port")
        try pair.startHost(["-port-fs", socket, "-allowed-bind-addresses", "127.0.0.1"])
        try #require(comesTrue { pair.directory.text(of: "host").contains("VM connected") })
        let server = try pair.serveEcho(9000)
        defer { server.end(with: SIGKILL) }
        let client = try PortFileClient(at: socket)
        let port = "tcp:127.0.0.1:8080:tcp:127.0.0.1:9000"
        #expect(try client.publish(port, as: "web", 1) == "OK \(port)\n")
        let ask = "echo hello | socat -t20 - TCP:127.0.0.1:8080"
        #expect(try pair.shell(ask) == "hello\n")
        let refused = try client.publish("tcp:127.0.0.2:80:tcp:127.0.0.1:9000", as: "other", 2)
        #expect(refused.hasPrefix("ERROR Bind for 127.0.0.2:80 failed: permission denied"))
        try client.clunk(1)
        #expect(throws: (any Error).self) { try pair.shell(ask) }
    }

    @Test func `a unix socket of the control file system leads to one in the VM`() throws {
        let pair = try ForwarderPair()
        try pair.startGuest()
        let socket = pair.directory.file("port")
        try pair.shell("mkdir @/folder")
        let folder = pair.directory.file("folder")
        try pair.startHost(["-port-fs", socket, "-socket-folder", folder])
        try #require(comesTrue { pair.directory.text(of: "host").contains("VM connected") })
        let server = try pair.serve(
            "socat",
            "-t60",
            "UNIX-LISTEN:@/inside,fork",
            "EXEC:cat",
            until: "/inside"
        )
        defer { server.end(with: SIGKILL) }
        let client = try PortFileClient(at: socket)
        let paths = ["\(folder)/outside", pair.directory.file("inside"), pair.directory.file("x")]
            .map { Base64.encode($0.utf8) }
        let request = "unix:\(paths[0]):unix:\(paths[1])"
        #expect(try client.publish(request, as: "socket", 1) == "OK \(request)\n")
        let ask = "echo hello | socat -t20 - UNIX:@/folder/outside"
        #expect(try pair.shell(ask) == "hello\n")
        let refused = try client.publish("unix:\(paths[2]):unix:\(paths[1])", as: "other", 2)
        #expect(refused.hasPrefix("ERROR permission denied: --socket-folder does not name"))
        try client.clunk(1)
        #expect(try pair.shell("ls @/folder").isEmpty)
    }

    @Test func `a refused destination resets the client`() throws {
        let pair = try ForwarderPair.connected()
        try pair.expose(8080, to: 1)
        let answer = try pair.shell("curl -sS http://127.0.0.1:8080/ 2>&1; true")
        #expect(answer.contains("reset by peer"), "\(answer)")
    }

    @Test func `a unix socket leads to one in the VM`() throws {
        let pair = try ForwarderPair.connected()
        let server = try pair.serve(
            "socat",
            "-t60",
            "UNIX-LISTEN:@/inside,fork",
            "EXEC:cat",
            until: "/inside"
        )
        defer { server.end(with: SIGKILL) }
        let body = #"{"proto":"unix","out_path":"@/new/folder/outside","in_path":"@/inside"}"#
        #expect(try pair.request("PUT", "expose/pipe", body) == "200")
        #expect(try pair.shell("stat -c %a @/new @/new/folder") == "755\n755\n")
        let ask = "echo hello | socat -t20 - UNIX:@/new/folder/outside"
        #expect(try pair.shell(ask) == "hello\n")
        #expect(try pair.request("DELETE", "unexpose/pipe", body) == "200")
        #expect(try pair.shell("ls @/new/folder").isEmpty)
    }

    @Test("UDP reaches the VM from clients of both families", arguments: ["0.0.0.0", "::", ""])
    func datagrams(address: String) throws {
        let pair = try ForwarderPair.connected()
        let server = try pair.serve("perl", "-MIO::Socket::IP", "-e", Self.echo, until: ":9000")
        defer { server.end(with: SIGKILL) }
        try pair.expose(8080, to: 9000, over: "udp", at: address)
        for client in ["127.0.0.1", "::1"] {
            for count in [1, 5_000, 60_000] {
                let ask = "perl -MIO::Socket::IP -e '\(Self.ask)' \(client) \(count)"
                #expect(try pair.shell(ask) == "\(count)\n")
            }
        }
    }

    private static let echo = """
        my $s = IO::Socket::IP->new(
            LocalHost => "127.0.0.1", LocalPort => 9000, Type => SOCK_DGRAM);
        while (defined(my $peer = recv($s, my $d, 70000, 0))) { send($s, $d, 0, $peer) }
        """
    /// Sends a datagram of some length until an answer arrives, and prints the answer's length.
    private static let ask = """
        my $s = IO::Socket::IP->new(
            PeerHost => $ARGV[0], PeerPort => 8080, Type => SOCK_DGRAM);
        for (1 .. 20) {
            send($s, "x" x $ARGV[1], 0);
            vec(my $set = "", fileno($s), 1) = 1;
            next unless select($set, undef, undef, 1);
            recv($s, my $d, 70000, 0);
            print length($d), "\\n";
            last;
        }
        """

    @Test func `without a VM clients are reset in time, and the API answers`() throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        try pair.expose(8080, to: 9000)
        #expect(try pair.request("GET", "dump").hasPrefix("data connection: none\n"))
        let answer = try pair.shell("curl -sS --max-time 60 http://127.0.0.1:8080/ 2>&1; true")
        #expect(answer.contains("reset by peer"), "\(answer)")
    }

    @Test func `a client waits for a VM that is about to connect`() throws {
        let pair = try ForwarderPair()
        try pair.startHost()
        let server = try pair.serveEcho(9000)
        defer { server.end(with: SIGKILL) }
        try pair.expose(8080, to: 9000)
        let client = try RunningProgram(
            ["sh", "-c", "echo hello | socat -t60 - TCP:127.0.0.1:8080"],
            in: pair.namespace,
            output: URL(fileURLWithPath: pair.directory.file("answer"))
        )
        defer { client.end(with: SIGKILL) }
        #expect(try comesTrue { try pair.request("GET", "dump").contains("waiting clients: 1") })
        try pair.startGuest()
        #expect(comesTrue { pair.directory.text(of: "answer") == "hello\n" })
    }

    @Test func `after a restart of the VM's side the same ports work again`() throws {
        let pair = try ForwarderPair.connected()
        let server = try pair.serveEcho(9000)
        defer { server.end(with: SIGKILL) }
        try pair.expose(8080, to: 9000)
        pair.guest?.end(with: SIGKILL)
        try #require(comesTrue { pair.directory.text(of: "host").contains("VM disconnected") })
        try FileManager.default.removeItem(atPath: pair.directory.file("data"))
        try pair.startGuest()
        let ask = "echo hello | socat -t20 - TCP:127.0.0.1:8080 2>/dev/null; true"
        #expect(try comesTrue { try pair.shell(ask) == "hello\n" })
    }

    @Test func `the VM's side may open the data connection, and opens it again`() throws {
        let pair = try ForwarderPair(guestConnects: true)
        try pair.startGuest()
        let server = try pair.serveEcho(9000)
        defer { server.end(with: SIGKILL) }
        let ask = "echo hello | socat -t20 - TCP:127.0.0.1:8080 2>/dev/null; true"
        for _ in 0..<2 {
            try pair.startHost()
            try pair.expose(8080, to: 9000)
            #expect(try comesTrue { try pair.shell(ask) == "hello\n" })
            pair.host?.end(with: SIGKILL)
            try pair.shell("rm @/data @/control")
        }
    }

    @Test func `a connection may have a single destination, as from 2016 to 2018`() throws {
        let pair = try ForwarderPair()
        try pair.startGuest()
        let stream = try pair.serveEcho(9000)
        let datagrams = try pair.serve(
            "perl",
            "-MIO::Socket::IP",
            "-e",
            Self.echo,
            until: "udp"
        )
        defer { for server in [stream, datagrams] { server.end(with: SIGKILL) } }
        let tcp = ForwarderDestination.tcp(Endpoint(address: .loopbackIPv4, port: 9000)).octets
        #expect(try talk(pair, tcp + Array("hello".utf8)) == hex(Array("hello".utf8)))
        // Two clients: each gets its answer with its own address.
        let frames = [(1, "one"), (2, "two")].map { client, text in
            ForwarderDatagram(
                client: Endpoint(address: .loopbackIPv4, port: client),
                payload: Array(text.utf8)
            ).octets
        }
        let header = ForwarderDestination.udp(Endpoint(address: .loopbackIPv4, port: 9000)).octets
        let answer = try talk(pair, header + frames[0] + frames[1])
        for frame in frames { #expect(answer.contains(hex(frame)), "\(answer)") }
    }

    @Test func `the multiplexer works without the handshake, as in 2018`() throws {
        let pair = try ForwarderPair()
        try pair.startGuest()
        let server = try pair.serveEcho(9000)
        defer { server.end(with: SIGKILL) }
        let destination = ForwarderDestination.tcp(Endpoint(address: .loopbackIPv4, port: 9000))
        let frames =
            MultiplexFrame.open(7, destination).octets + MultiplexFrame.window(7, 65_536).octets
            + MultiplexFrame.data(7, count: 5).octets + Array("hello".utf8)
            + MultiplexFrame.shutdown(7).octets
        let expected =
            MultiplexFrame.window(7, 65_536).octets + MultiplexFrame.data(7, count: 5).octets
            + Array("hello".utf8) + MultiplexFrame.shutdown(7).octets
            + MultiplexFrame.close(7).octets
        #expect(try talk(pair, frames) == hex(expected))
    }

    @Test func `the VM's side refuses strangers and stays`() throws {
        let pair = try ForwarderPair.connected()
        #expect(try talk(pair, Array("GET / HTTP/1.0\r\n\r\n".utf8)).isEmpty)
        #expect(try talk(pair, [7, 0, 1, 0, 0, 0, 0, 2, 9, 0, 0]).isEmpty)
        _ = try talk(pair, MultiplexHandshake.octets + [7, 0, 9, 0, 0, 0, 0])
        #expect(try pair.request("GET", "dump").hasPrefix("data connection: up"))
        #expect(pair.guest?.isRunning == true)
    }

    // MARK: Raw peers

    private func hex(_ octets: [UInt8]) -> String {
        octets.map { String(Int($0) + 0x100, radix: 16).dropFirst() }.joined()
    }

    /// Sends bytes to the VM's side and returns its answer in hexadecimal digits.
    private func talk(_ pair: ForwarderPair, _ octets: [UInt8]) throws -> String {
        let script = """
            { printf %s \(hex(octets)) | xxd -r -p; sleep 1; } |
                socat -t0 - UNIX:@/data | od -An -v -tx1 | tr -d ' \\n'
            """
        return try pair.shell(script)
    }
}
