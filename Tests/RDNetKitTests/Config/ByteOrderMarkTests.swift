import Foundation
import Testing

@testable import RDNetKit

/// Text as Windows editors write it: a byte-order mark first, and CRLF at the end of each line.
@Suite("byte-order mark and CRLF")
struct ByteOrderMarkTests {
    private static let mark = "\u{feff}"

    private func octets(_ lines: String...) -> [UInt8] {
        Array((Self.mark + lines.map { $0 + "\r\n" }.joined()).utf8)
    }

    private func text(_ lines: String...) -> String {
        Self.mark + lines.map { $0 + "\r\n" }.joined()
    }

    @Test func `only a whole mark at the beginning is skipped`() {
        #expect(ByteOrderMark.skipped(in: [0xef, 0xbb, 0xbf, 1, 0xef]) == [1, 0xef])
        #expect(ByteOrderMark.skipped(in: [0xef, 0xbb]) == [0xef, 0xbb])
        #expect(ByteOrderMark.skipped(in: []).isEmpty)
    }

    @Test func `a configuration file`() throws {
        let file = try ConfigurationFile(
            path: "x",
            text: text("[network] # all", "subnet = 10.0.0.0/24", "", "[up]", "mtu = 1500")
        )
        #expect(file.sections.map(\.name) == ["network", "up"])
        #expect(file.entries.map(\.value) == ["10.0.0.0/24", "1500"])
    }

    @Test(
        "YAML",
        arguments: [
            "a: 1\r\nb: two # words\r\n", "---\r\na: 1\r\nb: two\r\n", "{a: 1, b: two}\r\n",
        ]
    )
    func yaml(document: String) throws {
        let node = try YAMLParser.parse(Self.mark + document)
        guard case .mapping(let entries) = node.value else {
            Issue.record("no mapping: \(node)")
            return
        }
        #expect(entries.map(\.key) == ["a", "b"])
    }

    @Test func `a JSON document`() throws {
        let document = try JSONParser.parse(octets(#"{"local":":80"}"#))
        #expect(document == .object([JSON.Member("local", .string(":80"))]))
        #expect(throws: JSONError.self) { try JSONParser.parse(octets()) }
    }

    @Test func `a message about ports, whole and in pieces`() throws {
        let message = octets(#"{"ports":{"1":[{"HostPort":"80"}]}}"#)
        for size in [1, message.count] {
            var reader = PortMessageReader()
            var isWhole = false
            for start in stride(from: 0, to: message.count, by: size) where !isWhole {
                let piece = Array(message[start..<min(start + size, message.count)])
                isWhole = piece.withUnsafeBytes { reader.append($0) }
            }
            #expect(isWhole)
            #expect(try PortMessage(decoding: reader.octets).bindings.map(\.hostPort) == ["80"])
        }
    }

    @Test func `a hosts file`() throws {
        let hosts = HostsTable(
            parsing: octets("192.0.2.7 db", "192.0.2.8 web"),
            hostAlias: DNSFixture.hostAlias
        )
        for name in ["db", "web"] {
            let question = try DNSZoneTests.question(name, 1)
            #expect(hosts.answer(to: question)?.records.count == 1)
        }
    }

    @Test func `a resolver configuration`() {
        let configuration = ResolverConfiguration(
            parsing: octets("nameserver 192.0.2.1", "search corp.example", "options timeout:3")
        )
        #expect(configuration.servers.count == 1)
        #expect(configuration.searchDomains == ["corp.example"])
        #expect(configuration.timeout == .seconds(3))
    }
}

@Suite(
    "files from Windows",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct WindowsFileTests {
    @Test func `gvproxy reads its YAML file, and the API a request's body`() throws {
        let scene = try GVProxyScene()
        try scene.write(
            "config.yaml",
            "\u{feff}listen:\r\n  - unix://@/network.sock\r\nlog-level: debug # all\r\n"
        )
        try scene.start("-config", "@/config.yaml", "-ssh-port", "-1")
        try scene.write(
            "body",
            "\u{feff}{\r\n\"local\":\"127.0.0.1:8080\",\"remote\":\"192.168.127.2:80\"}\r\n"
        )
        try scene.host.run(
            "curl",
            "-sSf",
            "--unix-socket",
            scene.directory.file("network.sock"),
            "--data-binary",
            "@" + scene.directory.file("body"),
            "http://x/services/forwarder/expose"
        )
        #expect(try scene.ask("/services/forwarder/all").contains("127.0.0.1:8080"))
    }

    @Test func `a role reads its configuration file`() throws {
        let directory = TemporaryDirectory()
        let file = directory.file("rdnet.conf")
        try AtomicFile.replace(file, with: "\u{feff}[host-switch]\r\nmtu = 4000\r\n")
        let output = try run(BuiltProgram.rdnet, "host-switch", "--config", file, "--print-config")
        #expect(output.contains("mtu = 4000"))
    }
}
