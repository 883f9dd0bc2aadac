import Foundation
import Testing

@testable import RDNetKit

/// Real programs for rootless containers, whose slirp4netns is rdnet.
@Suite(
    "rootless containers use slirp4netns",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
final class RootlessContainerTests {
    private static let script = SourceTree.root.appendingPathComponent("Tests/Guests/rootless.sh")
        .path
    private static let run = """
        --cgroups=disabled --runtime crun web /bin/busybox httpd -f -p 80 -h /www
        """

    private let host: NetworkNamespace
    private let directory = TemporaryDirectory()
    private let server: RunningProgram

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        let web = directory.file("host")
        try FileManager.default.createDirectory(atPath: web, withIntermediateDirectories: false)
        try Data("hello from the host\n".utf8).write(to: URL(fileURLWithPath: web + "/page"))
        server = try RunningProgram(
            ["busybox", "httpd", "-f", "-p", "127.0.0.1:8000", "-h", web],
            in: host
        )
        try #require(try comesTrue { try host.run("ss", "-Hltn").contains(":8000 ") })
    }

    deinit {
        server.end(with: SIGKILL)
    }

    /// Runs a script as an ordinary user and returns its output.
    private func asUser(_ script: String) throws -> String {
        let home = directory.file("home")
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
        let program = try RunningProgram(
            [
                "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
                "--propagation", "private", Self.script, home, BuiltProgram.rdnet,
                "wait_for() { for ((i = 0; i < 600; i++)); do \"$@\" && return; sleep 0.1; done; return 1; }\n"
                    + script,
            ],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        defer { program.end(with: SIGKILL) }
        let hasEnded = comesTrue(within: .seconds(120)) { !program.isRunning }
        try #require(hasEnded && program.status == 0, "\(directory.text(of: "log"))")
        return directory.text(of: "log")
    }

    @Test func `podman: a web server, its port, exec, stop, start, and the host`() throws {
        let output = try asUser(
            """
            podman import -q web.tar web
            fetch() { curl -sf -m 20 http://127.0.0.1:8080/; }
            podman run -d --name one -p 127.0.0.1:8080:80 --network slirp4netns \(Self.run)
            wait_for fetch
            podman exec one /bin/busybox ip address
            podman exec one /bin/busybox cat /etc/resolv.conf
            podman exec one /bin/busybox wget -q -O - http://10.0.2.2:8000/page && exit 1
            podman stop -t 1 one
            ! pgrep -x slirp4netns
            ! fetch
            podman start one
            wait_for fetch
            podman rm -f -t 0 one
            ! pgrep -x slirp4netns
            echo all is well
            """
        )
        for text in [
            "hello from the container", "10.0.2.100/24", "nameserver 10.0.2.3", "all is well",
        ] {
            #expect(output.contains(text), "\(output)")
        }
    }

    @Test func `podman: slirp4netns forwards the ports, and the host can be reached`() throws {
        let network =
            "slirp4netns:port_handler=slirp4netns,enable_ipv6=true,"
            + "allow_host_loopback=true,cidr=10.9.0.0/24"
        let output = try asUser(
            """
            podman import -q web.tar web
            fetch() { curl -sf -m 20 http://127.0.0.1:8080/; }
            podman run -d --name two -p 127.0.0.1:8080:80 --network \(network) \(Self.run)
            wait_for fetch
            podman exec two /bin/busybox ip address
            podman exec two /bin/busybox wget -q -O - http://10.9.0.2:8000/page
            podman rm -f -t 0 two
            ! fetch
            echo all is well
            """
        )
        for text in [
            "hello from the container", "10.9.0.100/24", "hello from the host", "all is well",
        ] {
            #expect(output.contains(text), "\(output)")
        }
    }

    @Test func `RootlessKit: it finds the options, configures the interface and forwards a port`()
        throws
    {
        let output = try asUser(
            """
            inside='ip -br address; cat /etc/resolv.conf; busybox httpd -p 80 -h tree/www
            curl -sS -m 20 http://10.0.2.2:8000/page || true; until [ -e done ]; do sleep 0.1; done'
            rootlesskit --net=slirp4netns --slirp4netns-binary=$HOME/slirp4netns --mtu=65520 \
                --copy-up=/etc --disable-host-loopback --slirp4netns-sandbox=true \
                --slirp4netns-seccomp=true --port-driver=slirp4netns -p 127.0.0.1:8080:80/tcp \
                sh -c "$inside" &
            wait_for curl -sf -m 20 http://127.0.0.1:8080/
            touch done
            wait
            ! pgrep -x slirp4netns
            echo all is well
            """
        )
        for text in [
            "10.0.2.100/24", "nameserver 10.0.2.3", "hello from the container",
            "Failed to connect to 10.0.2.2", "all is well",
        ] {
            #expect(output.contains(text), "\(output)")
        }
    }
}
