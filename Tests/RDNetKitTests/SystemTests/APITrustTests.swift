import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Who may use the API, with real clients in the guest and on the host.
@Suite(
    "the API and those who may not use it",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct APITrustTests {
    private static let forwards = "/services/forwarder/all"
    private static let tcp = ["--api", "tcp://127.0.0.1:7777"]

    private let directory = TemporaryDirectory()

    /// Returns the status that curl gets; 0 if it gets no answer.
    private func status(
        _ url: String,
        _ arguments: [String] = [],
        in namespace: NetworkNamespace
    ) throws -> Int? {
        let script =
            #"curl -s -m 20 -o /dev/null -w "%{http_code}" "$@" || test $? = 7 -o $? = 52"#
        let output = try run(
            ["ip", "netns", "exec", namespace.name, "sh", "-c", script, "sh"] + arguments + [url]
        )
        return Int(output)
    }

    @Test func `a guest creates no socket on the host and runs no ssh`() throws {
        let up = try UpGuest()
        let expose = "http://192.168.127.1/services/forwarder/expose"
        let path = directory.file("made-by-guest")
        for remote in [
            "tcp://192.168.127.2:80", "ssh-tunnel://root@192.168.127.2/x?key=/etc/shadow",
        ] {
            let body = #"{"local":"\#(path)","remote":"\#(remote)","protocol":"unix"}"#
            #expect(try status(expose, ["-d", body], in: up.guest) == 403)
        }
        #expect(access(path, F_OK) == -1)
        let body = #"{"local":"127.0.0.1:8099","remote":":80"}"#
        #expect(try status(expose, ["-d", body], in: up.guest) == 200)
    }

    @Test func `--guest-api none closes the port, full opens everything about forwards`() throws {
        let url = "http://192.168.127.1\(Self.forwards)"
        let closed = try UpGuest(options: ["--guest-api", "none"])
        #expect(try status(url, in: closed.guest) == 0)
        let full = try UpGuest(options: ["--guest-api", "full", "--api-path", directory.path])
        let path = directory.file("full")
        let body = #"{"local":"\#(path)","remote":"tcp://192.168.127.2:80","protocol":"unix"}"#
        let expose = "http://192.168.127.1/services/forwarder/expose"
        #expect(try status(expose, ["-d", body], in: full.guest) == 200)
        #expect(access(path, F_OK) == 0)
    }

    @Test func `a guest does not reach the host's API, by any of the host's addresses`() throws {
        let up = try UpGuest(
            options: ["--api", "tcp://0.0.0.0:7777", "--log-level", "debug"]
        )
        try up.host.run("ip", "address", "add", "10.99.0.1/32", "dev", "lo")
        for address in ["192.168.127.254", "10.99.0.1"] {
            #expect(try status("http://\(address):7777\(Self.forwards)", in: up.guest) == 0)
        }
        #expect(try status("http://10.99.0.1:7777\(Self.forwards)", in: up.host) == 200)
        #expect(try status("http://127.0.0.1:7777\(Self.forwards)", in: up.host) == 200)
        #expect(try up.log.contains("msg=\"connection failed\" reason=blocked"))
    }

    @Test func `web pages and foreign names get 403, on the host and in the guest`() throws {
        let up = try UpGuest(options: Self.tcp)
        for (url, namespace) in [
            ("http://127.0.0.1:7777\(Self.forwards)", up.host),
            ("http://192.168.127.1\(Self.forwards)", up.guest),
        ] {
            #expect(try status(url, in: namespace) == 200)
            #expect(try status(url, ["-H", "Origin: http://evil.example"], in: namespace) == 403)
            #expect(try status(url, ["-H", "Host: evil.example"], in: namespace) == 403)
        }
        let name = "gateway.containers.internal"
        let resolve = ["--resolve", "\(name):80:192.168.127.1"]
        #expect(try status("http://\(name)\(Self.forwards)", resolve, in: up.guest) == 200)
    }

    @Test func `on TCP the token is needed, by curl and by ctl`() throws {
        let file = directory.file("token")
        try Data("s3cret\n".utf8).write(to: URL(fileURLWithPath: file))
        let up = try UpGuest(
            options: Self.tcp + [
                "--api", "unix://" + directory.file("api"), "--api-token-file", file,
            ]
        )
        let url = "http://127.0.0.1:7777\(Self.forwards)"
        #expect(try status(url, in: up.host) == 401)
        #expect(try status(url, ["-H", "Authorization: Bearer s3cret"], in: up.host) == 200)
        let local = ["--unix-socket", directory.file("api")]
        #expect(try status("http://rdnet\(Self.forwards)", local, in: up.host) == 200)
        let ctl = { (options: [String]) in
            try run(
                ["ip", "netns", "exec", up.host.name, BuiltProgram.rdnet, "ctl"] + Self.tcp
                    + options + ["leases"]
            )
        }
        #expect(try ctl(["--api-token-file", file]).contains("192.168.127.2"))
        let error = #expect(throws: ProgramFailure.self) { try ctl([]) }
        #expect(error?.description.contains("the API needs its bearer token") == true)
    }

    @Test func `the API's socket has the mode and the group that were asked for`() throws {
        let path = directory.file("api")
        let up = try UpGuest(
            options: ["--api", "unix://\(path)", "--api-mode", "660", "--api-group", "daemon"]
        )
        let granted = { try run("sh", "-c", "stat -c '%a %G' \(path) || :") }
        #expect(try granted() == "660 daemon\n")
        // A cleaner removes the file: the next one is the same, although the program has entered
        // its sandbox.
        unlink(path)
        #expect(try comesTrue { try granted() == "660 daemon\n" })
        withExtendedLifetime(up) {}
        let other = directory.file("other")
        let output = URL(fileURLWithPath: directory.file("output"))
        let program = try RunningProgram(
            [
                BuiltProgram.rdnet, "host-switch", "--link", "unix://" + directory.file("link"),
                "--api", "unix://\(other)", "--api-group", "nosuchgroup",
            ],
            output: output
        )
        #expect(comesTrue { !program.isRunning } && program.status == 1)
        let text = try String(contentsOf: output, encoding: .utf8)
        #expect(text.contains("group nosuchgroup in /etc/group"), "\(text)")
        #expect(access(other, F_OK) == -1)
    }
}
