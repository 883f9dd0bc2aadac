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
        let octets = FileManager.default.contents(atPath: directory.file("output")) ?? Data()
        return String(decoding: octets, as: UTF8.self)
    }

    /// Starts `rdnet up` with a server, and waits until the server has said that it listens.
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

    @Test func `a TFTP server, which answers from another port, serves a file`() throws {
        let root = directory.file("root")
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: false)
        // Some 400 blocks, each of which the client acknowledges at the second port.
        let octets = Data((0..<200_001).map { UInt8(truncatingIfNeeded: $0 &* 7919 >> 5) })
        try octets.write(to: URL(fileURLWithPath: root + "/file"))
        try run("chmod", "-R", "a+rX", directory.path)
        let host = try NetworkNamespace()
        // The server is the command itself: it closes the descriptors by which a test sees a program's end.
        let program = try start(
            in: host,
            ["--port-forward", "127.0.0.1:6969=192.168.127.2:69/udp"],
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
}
