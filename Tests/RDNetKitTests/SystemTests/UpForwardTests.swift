import Foundation
import Testing

@testable import RDNetKit

/// Published ports of `rdnet up`, with real programs on both sides.
@Suite(
    "up publishes ports",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct UpForwardTests {
    private let directory = TemporaryDirectory()

    private var output: String {
        directory.text(of: "output")
    }

    /// Starts `rdnet up` with a server and waits until the server says that it listens.
    private func start(
        in host: NetworkNamespace,
        _ options: [String],
        server: [String],
        saying sentence: String
    ) throws -> RunningProgram {
        try host.run("ip", "link", "set", "lo", "up")
        let program = try RunningProgram(
            [BuiltProgram.rdnet, "up"] + options + ["--"] + server,
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        let isThere = comesTrue(within: .seconds(60)) { output.contains(sentence) }
        try #require(isThere, "\(output)")
        return program
    }

    @Test(
        "a TFTP server, which answers from another port, serves a file",
        arguments: ["192.168.127.2", "localhost"]
    )
    func servesFile(target: String) throws {
        let root = directory.file("root")
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: false)
        // About 400 blocks; the client acknowledges each at the server's second port.
        let octets = Data((0..<200_001).map { UInt8(truncatingIfNeeded: $0 &* 7919 >> 5) })
        try octets.write(to: URL(fileURLWithPath: root + "/file"))
        try run("chmod", "-R", "a+rX", directory.path)
        let host = try NetworkNamespace()
        // The server is the command itself: it closes the descriptors by which a test detects a
        // program's end.
        let program = try start(
            in: host,
            ["--port-forward", "127.0.0.1:6969=\(target):69/udp"],
            server: [
                "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
                "--user=root",
                "--pid-file", "--log-facility=-", "--enable-tftp", "--tftp-root=\(root)",
            ],
            saying: "TFTP root is"
        )
        let copy = directory.file("copy")
        for client in [
            ["curl", "-sS", "--max-time", "30", "-o", copy, "tftp://127.0.0.1:6969/file"],
            ["busybox", "tftp", "-g", "-r", "file", "-l", copy, "127.0.0.1", "6969"],
        ] {
            try run(["timeout", "60", "ip", "netns", "exec", host.name] + client)
            #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == octets, "\(client)")
        }
        program.end()
    }

    /// An echo server over TCP and UDP, only on the namespace's 127.0.0.1.
    private static let loopbackServer = """
        use IO::Socket::INET; use IO::Select;
        my $tcp = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 80, Listen => 64);
        my $udp = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 80, Proto => 'udp');
        $| = 1; print "ready\\n";
        my $all = IO::Select->new($tcp, $udp);
        while (my @ready = $all->can_read) {
            for my $socket (@ready) {
                if ($socket == $tcp) { $all->add($tcp->accept); next }
                if ($socket == $udp) { $udp->recv(my $text, 65536); $udp->send($text); next }
                sysread($socket, my $octets, 65536);
                next if length($octets) and syswrite($socket, $octets);
                $all->remove($socket); close $socket;
            }
        }
        """

    /// Returns a client that sends five words, one at a time, and prints the echoes.
    private static func client(_ transport: String, port: Int) -> [String] {
        [
            "timeout", "60", "perl", "-MIO::Socket::INET", "-e",
            """
            my $socket = IO::Socket::INET->new(
                PeerAddr => '127.0.0.1:\(port)', Proto => '\(transport)') or die "no connection";
            for my $word ('a' .. 'e') {
                $socket->send($word); defined($socket->recv(my $answer, 64)) or die "cut off";
                print $answer; last if $answer eq '';
            }
            """,
        ]
    }

    @Test("a server on the namespace's own 127.0.0.1 is reached", arguments: ["tcp", "udp"])
    func loopback(transport: String) throws {
        let host = try NetworkNamespace()
        let program = try start(
            in: host,
            [
                "--port-forward", "8080=localhost:80/\(transport)", "--port-forward",
                "127.0.0.1:8081-8082=127.0.0.1:81-82/tcp",
            ],
            server: ["perl", "-e", Self.loopbackServer],
            saying: "ready"
        )
        let prefix = ["ip", "netns", "exec", host.name]
        // In sequence: the namespace creates a socket for each client.
        for _ in 0..<3 {
            #expect(try run(prefix + Self.client(transport, port: 8080)) == "abcde")
        }
        // Nothing listens on the other ports: the client is refused, and the program continues.
        #expect(throws: ProgramFailure.self) { try run(prefix + Self.client("tcp", port: 8082)) }
        #expect(try run(prefix + Self.client(transport, port: 8080)) == "abcde")
        program.end()
    }
}
