import Foundation
import Testing

@testable import RDNetKit

/// `pasta` as people and container engines start it, on a host with a default route.
@Suite(
    "pasta gives a namespace the host's own network",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
final class PastaTests {
    let host: NetworkNamespace
    let router: NetworkNamespace
    let directory = TemporaryDirectory()
    var programs: [RunningProgram] = []

    /// The host is 192.0.2.10/24 and 2001:db8:1::10/64, its router 192.0.2.1 and 198.51.100.1,
    /// fe80::99 and 2001:db8:2::1.
    init() throws {
        host = try NetworkNamespace()
        router = try NetworkNamespace()
        for namespace in [host, router] { try namespace.run("ip", "link", "set", "lo", "up") }
        try host.run(
            "ip",
            "link",
            "add",
            "up0",
            "type",
            "veth",
            "peer",
            "down0",
            "netns",
            router.name
        )
        try host.run("ip", "address", "add", "192.0.2.10/24", "dev", "up0")
        try host.run("ip", "link", "set", "up0", "up")
        try router.run("ip", "address", "add", "192.0.2.1/24", "dev", "down0")
        try router.run("ip", "address", "add", "198.51.100.1/32", "dev", "lo")
        try router.run("ip", "link", "set", "down0", "up")
        try host.run("ip", "route", "add", "default", "via", "192.0.2.1")
        try addIPv6()
        try FileManager.default.createSymbolicLink(
            atPath: directory.file("pasta"),
            withDestinationPath: BuiltProgram.rdnet
        )
    }

    private func addIPv6() throws {
        func add(_ address: String, _ interface: String, in namespace: NetworkNamespace) throws {
            try namespace.run("ip", "address", "add", address, "dev", interface, "nodad")
        }
        try add("2001:db8:1::10/64", "up0", in: host)
        try add("2001:db8:1::1/64", "down0", in: router)
        try add("fe80::99/64", "down0", in: router)
        try add("2001:db8:2::1/128", "lo", in: router)
        try host.run("ip", "route", "add", "default", "via", "fe80::99", "dev", "up0")
    }

    deinit {
        for program in programs { program.end(with: SIGKILL) }
        let number = directory.text(of: "pid")
        if let process = Int32(number) { kill(process, SIGKILL) }
    }

    /// Starts an echo server whose port is 7.
    func echo(in namespace: NetworkNamespace, at address: String) throws {
        programs.append(
            try RunningProgram(
                [
                    "socat",
                    "TCP\(address.hasPrefix("[") ? 6 : 4)-LISTEN:7,bind=\(address),fork,reuseaddr",
                    "EXEC:cat",
                ],
                in: namespace
            )
        )
        try #require(
            try comesTrue { try namespace.run("ss", "-Hltn").contains("\(address):7 ") }
        )
    }

    /// Whether a process has ended, even if nobody has waited for it.
    func hasEnded(_ process: Int32) -> Bool {
        PeerProcess(running: process)?.hasEnded ?? true
    }

    /// A command that prints `hello` if an echo server can be reached.
    func client(_ address: String, _ port: Int = 7) -> String {
        "printf hello | timeout 60 nc -N \(address) \(port)"
    }

    /// Runs the program to its end.
    func pasta(
        _ arguments: [String],
        as user: [String] = []
    ) throws -> (status: Int32?, output: String) {
        let program = try RunningProgram(
            user + [directory.file("pasta")] + arguments,
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        defer { program.end(with: SIGKILL) }
        try #require(comesTrue(within: .seconds(60)) { !program.isRunning })
        return (program.status, directory.text(of: "log"))
    }

    @Test func `a command has the host's address, reaches the router and the host, and its status`()
        throws
    {
        try echo(in: host, at: "127.0.0.1")
        try echo(in: router, at: "198.51.100.1")
        let script = """
            ip -br address; ip route; ip link show up0
            echo far $(\(client("198.51.100.1"))) near $(\(client("192.0.2.1")))
            ping -c 1 -W 60 198.51.100.1
            exit 7
            """
        let (status, output) = try pasta(["--config-net", "-T", "none", "--", "sh", "-c", script])
        #expect(status == 7, "\(output)")
        for text in [
            "192.0.2.10/24", "default via 192.0.2.1 dev up0", "mtu 65520", "far hello near hello",
            " 0% packet loss",
        ] {
            #expect(output.contains(text), "\(output)")
        }
    }

    @Test func `what Podman starts: a namespace by its path, in the background until it ends`()
        throws
    {
        let guest = try BusyNamespace(directory)
        try echo(in: host, at: "192.0.2.10")
        programs.append(
            try RunningProgram(["socat", "TCP-LISTEN:7,fork", "EXEC:cat"], in: guest.namespace)
        )
        let (status, output) = try pasta([
            "--config-net", "--pid", directory.file("pid"), "--dns-forward", "169.254.1.1", "-t",
            "127.0.0.1/8080:7", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw", "--quiet",
            "--netns", guest.path, "--map-guest-addr", "169.254.1.2",
        ])
        #expect(status == 0 && output.isEmpty, "\(output)")
        let process = try #require(Int32(directory.text(of: "pid")))
        #expect(!hasEnded(process))
        let inside = guest.namespace
        #expect(try inside.run("bash", "-c", client("169.254.1.2")) == "hello")
        #expect(
            try comesTrue {
                try host.run("bash", "-c", "\(client("127.0.0.1", 8080)) || :") == "hello"
            }
        )
        let names = try inside.run("dig", "+time=10", "@169.254.1.1", "localhost", "A", "+short")
        #expect(names == "127.0.0.1\n")
        // The router has no such server, and the gateway's address is the router's.
        #expect(throws: (any Error).self) { try inside.run("nc", "-z", "192.0.2.1", "7") }
        try guest.remove()
        #expect(comesTrue { hasEnded(process) })
        #expect(!FileManager.default.fileExists(atPath: directory.file("pid")))
    }

    @Test func `what RootlessKit starts: a user's process, and its open ports`() throws {
        let user = try OrdinaryUser(directory)
        let sleeper = try RunningProgram(
            user.prefix
                + [
                    "unshare", "--map-root-user", "--net", "bash", "-c",
                    "echo $$ >\(user.home)/sleeper; exec sleep 10000",
                ],
            in: host
        )
        programs.append(sleeper)
        try #require(comesTrue { directory.text(of: "home/sleeper").hasSuffix("\n") })
        let number = directory.text(of: "home/sleeper").dropLast()
        let (status, output) = try pasta(
            [
                "--stderr", "--ns-ifname=tap0", "--mtu=1500", "--config-net",
                "--address=10.0.2.100", "--netmask=24", "--gateway=10.0.2.2",
                "--dns-forward=10.0.2.3", "--no-map-gw", "--ipv4-only", "--tcp-ports=auto",
                "--udp-ports=none", "--pid=\(user.home)/pid", "\(number)",
            ],
            as: user.prefix
        )
        #expect(status == 0, "\(output)")
        let process = try #require(Int32(directory.text(of: "home/pid")))
        let enter = [
            "nsenter", "--target", "\(number)", "--net", "--user", "--preserve-credentials",
        ]
        let addresses = try run(enter + ["ip", "-br", "address"])
        #expect(addresses.contains("10.0.2.100/24"), "\(addresses)")
        #expect(try run(enter + ["ip", "route"]).contains("default via 10.0.2.2 dev tap0"))
        programs.append(
            try RunningProgram(enter + ["socat", "TCP-LISTEN:8090,fork", "EXEC:cat"])
        )
        #expect(
            try comesTrue {
                try host.run("bash", "-c", "\(client("127.0.0.1", 8090)) || :") == "hello"
            }
        )
        sleeper.end(with: SIGKILL)
        #expect(comesTrue { hasEnded(process) })
    }

    @Test func `a user's command reaches the host's loopback by its own`() throws {
        try echo(in: host, at: "127.0.0.1")
        let user = try OrdinaryUser(directory)
        let (status, output) = try pasta(
            [
                "-t", "none", "-u", "none", "-U", "none", "-T", "1007:7", "--config-net", "--",
                "bash", "-c", "id -u; \(client("127.0.0.1", 1007)); exit 3",
            ],
            as: user.prefix
        )
        #expect(status == 3 && output.contains("0\n") && output.contains("hello"), "\(output)")
    }

    @Test func `without --config-net, the namespace gets the host's address by DHCP`() throws {
        let script = """
            ip link set up0 up
            busybox udhcpc -i up0 -n -q -f -t 20 -s /bin/true 2>&1
            """
        let (status, output) = try pasta(["-T", "none", "--", "sh", "-c", script])
        #expect(status == 0 && output.contains("lease of 192.0.2.10 obtained"), "\(output)")
    }

    @Test(
        "what cannot be is one sentence",
        arguments: [
            (["--nonsense"], 2, "unknown option --nonsense"),
            (["--log-size=1", "true"], 2, "unknown option --log-size"),
            (["-t", "all", "true"], 2, "expected none, auto, or"),
            (["-t", "none", "-t", "80", "true"], 2, "--tcp-ports"),
            (["-4", "-6", "true"], 2, "--ipv6-only"),
            (["-4", "-g", "fe80::1", "true"], 2, "--gateway: \"fe80::1\""),
            (["--map-gw", "--no-map-gw", "true"], 2, "--map-gw"),
            (["--userns=/x", "true"], 2, "need a PID or --netns"),
            (["--netns=/x", "1"], 2, "expected no PID and no command with --netns"),
            (["-a", "192.0.2.1", "true"], 2, "other than the gateway's"),
            (["--netns=/nowhere"], 1, "open /nowhere: No such file or directory"),
            (["-i", "nowhere", "true"], 1, "nowhere: get link: No such device"),
            (["-q", "-t", "192.0.2.99/80", "true"], 1, "tcp-ports 192.0.2.99/80: bind"),
            (["-q", "--", "/nowhere"], 127, "/nowhere: No such file or directory"),
        ]
    )
    func mistakes(words: [String], code: Int32, sentence: String) throws {
        let (status, output) = try pasta(words)
        #expect(status == code, "\(output)")
        #expect(output.contains(sentence) && output.split(separator: "\n").count == 1, "\(output)")
    }
}

/// A network namespace whose path is a file of its own, as a container engine makes it.
private final class BusyNamespace {
    let namespace: NetworkNamespace
    let path: String
    private var isMounted = true

    init(_ directory: TemporaryDirectory) throws {
        namespace = try NetworkNamespace()
        path = directory.file("namespace")
        try run(["touch", path])
        try run(["mount", "--bind", "/run/netns/\(namespace.name)", path])
    }

    deinit {
        if isMounted { do { try remove() } catch { Issue.record(error) } }
    }

    func remove() throws {
        isMounted = false
        try run(["umount", path])
        try FileManager.default.removeItem(atPath: path)
    }
}
