import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A guest under a policy, and an Internet of its own.
///
/// The Internet is a namespace behind the host, with servers at public addresses and a resolver for
/// their names. Nothing of it leaves the machine.
final class PolicyScene {
    /// `good.example` and `cdn.example`, which share it as sites share a CDN.
    static let good = "9.9.9.10"
    /// `evil.example`.
    static let evil = "9.9.9.20"
    static let resolver = "10.72.0.2"

    let up: UpGuest
    let internet: NetworkNamespace
    let directory = TemporaryDirectory()
    private var servers: [RunningProgram] = []

    /// Starts a guest with the policy's options.
    init(_ options: [String]) throws {
        internet = try NetworkNamespace()
        let options = options + ["--dns-server", Self.resolver, "--ipv6", "off"]
        let api = "unix://" + directory.file("api")
        up = try UpGuest(options: options + ["--api", api])
        try connect()
        try startResolver()
    }

    deinit {
        for server in servers { server.end(with: SIGKILL) }
        let text = FileManager.default.contents(atPath: directory.file("resolver"))
            .map { String(decoding: $0, as: UTF8.self) }
        let process = text.flatMap { pid_t($0.filter(\.isNumber)) }
        if let process { kill(process, SIGKILL) }
    }

    private func connect() throws {
        let name = internet.name
        let (host, internet) = (up.host, internet)
        try host.run(
            "ip",
            "link",
            "add",
            "uplink",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            name
        )
        try host.run("ip", "address", "add", "10.72.0.1/24", "dev", "uplink")
        try internet.run("ip", "address", "add", "\(Self.resolver)/24", "dev", "eth0")
        for address in [Self.good, Self.evil] {
            try internet.run("ip", "address", "add", "\(address)/32", "dev", "lo")
        }
        try internet.run("ip", "link", "set", "lo", "up")
        try internet.run("ip", "link", "set", "eth0", "up")
        try host.run("ip", "link", "set", "uplink", "up")
        try host.run("ip", "route", "add", "default", "via", Self.resolver)
    }

    private func startResolver() throws {
        // It returns when the resolver listens.
        try internet.run(
            "dnsmasq",
            "--user=root",
            "--group=root",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--pid-file=" + directory.file("resolver"),
            "--log-queries",
            "--log-facility=" + directory.file("queries"),
            "--listen-address=\(Self.resolver)",
            "--bind-interfaces",
            "--address=/good.example/\(Self.good)",
            "--address=/cdn.example/\(Self.good)",
            "--address=/evil.example/\(Self.evil)",
            "--address=/rebind.example/10.72.0.2"
        )
    }

    /// Starts a server on the Internet.
    func serve(_ command: [String]) throws {
        servers.append(try RunningProgram(command, in: internet))
    }

    /// Serves a page on port 80 of an address.
    func serveWeb(_ address: String, page: String, port: Int = 80) throws {
        let folder = directory.file("www-\(address)")
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: true
        )
        try page.write(toFile: folder + "/index.html", atomically: true, encoding: .utf8)
        try serve(["busybox", "httpd", "-f", "-p", "\(address):\(port)", "-h", folder])
        try awaitListener("\(address):\(port)")
    }

    /// Serves TLS, with a page, on port 443 of an address.
    func serveTLS(_ address: String) throws {
        let (key, certificate) = (directory.file("key.pem"), directory.file("cert.pem"))
        try internet.run(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-subj",
            "/CN=good.example"
        )
        try serve([
            "openssl", "s_server", "-quiet", "-accept", "\(address):443", "-key", key,
            "-cert", certificate, "-www",
        ])
        try awaitListener("\(address):443")
    }

    func awaitListener(_ endpoint: String) throws {
        let internet = internet
        #expect(try comesTrue { try internet.run("ss", "-Hlnt").contains(endpoint) })
    }

    /// Runs a shell script in the guest, as a user would; returns its output and errors.
    func guest(_ script: String) throws -> String {
        try RDNetKitTests.run([
            "nsenter", "-n", "-m", "-t", "\(up.command)", "timeout", "120", "sh", "-c",
            "{ \(script)\n} 2>&1 </dev/null; true",
        ])
    }

    /// Starts a shell script in the guest.
    func start(_ script: String) throws {
        let words = ["nsenter", "-m", "-t", "\(up.command)", "sh", "-c", script]
        servers.append(try RunningProgram(words, in: up.guest))
    }

    /// The resolver's log of queries.
    var queries: String {
        get throws { try String(contentsOfFile: directory.file("queries"), encoding: .utf8) }
    }

    /// Runs a command of `ctl policy` on the host.
    @discardableResult
    func ctl(_ words: String...) throws -> String {
        let api = "unix://" + directory.file("api")
        return try RDNetKitTests.run([BuiltProgram.rdnet, "ctl", "--api", api, "policy"] + words)
    }
}
