import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// What running roles have given up, and what still works.
@Suite(
    "sandbox",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SandboxTests {
    private let directory = TemporaryDirectory()
    private let host: NetworkNamespace

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
    }

    /// The command of each role that serves, without the sandbox's options.
    private func command(_ role: String) -> [String] {
        let socket = "unix://" + directory.file("socket")
        return switch role {
        case "host-switch": [role, "--link", socket]
        case "gvproxy": [role, "-listen", socket, "-ssh-port", "-1"]
        case "wsl-proxy": [role, "--socketFile", directory.file("socket"), "--logfile", ""]
        case "port-fs": [role, "--listen", socket, "--socket-folder", directory.path]
        case "port-proxy": [role, "--serve"]
        default: [role]
        }
    }

    private func start(_ role: String, _ options: [String], command words: [String] = []) throws
        -> RunningProgram
    {
        try RunningProgram(
            [BuiltProgram.rdnet] + command(role) + options + words,
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
    }

    private var output: String {
        directory.text(of: "output")
    }

    @Test(
        "files, programs, other processes and privileges are out of reach",
        arguments: [
            "host-switch", "gvproxy", "wsl-proxy", "up", "port-fs", "port-proxy", "slirp4netns",
            "pasta", "vpnkit",
        ]
    )
    func probe(role: String) throws {
        let guest = try NetworkNamespace()
        let words: [String] =
            switch role {
            case "up": ["--", "sleep", "100"]
            case "pasta": ["sleep", "100"]
            case "vpnkit": ["--ethernet", directory.file("net.sock")]
            case "slirp4netns": ["--netns-type=path", "/run/netns/\(guest.name)", "tap0"]
            default: []
            }
        let program = try start(role, ["--sandbox", "probe"], command: words)
        #expect(comesTrue { !program.isRunning } && program.status == 0, "\(output)")
        #expect(output.contains("everything was refused"), "\(output)")
        for attempt in [
            "read /etc/shadow", "run a program", "trace a process", "connect to a unix socket",
        ] {
            let line = output.split(separator: "\n").first { $0.hasPrefix(attempt) } ?? ""
            #expect(line.contains("refused: "), "\(output)")
        }
        // Each kind of call is logged once, with its number.
        let ptrace = "the sandbox refused a system call\" number=\(SYS_ptrace)"
        #expect(output.components(separatedBy: ptrace).count == 2, "\(output)")
    }

    @Test(
        "as root a role keeps ports below 1024 and nothing else, and its child not even that",
        arguments: ["host-switch", "gvproxy", "wsl-proxy"]
    )
    func root(role: String) throws {
        try host.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        let program = try start(role, [])
        try #require(try ProcessStatus.isInSandbox(program.number), "\(output)")
        // CAP_NET_BIND_SERVICE.
        try ProcessStatus.expect([10], of: program.number)
        let children = try ProcessStatus.children(of: program.number)
        #expect(children.count == 1)
        for child in children {
            #expect(try ProcessStatus.isInSandbox(child))
            try ProcessStatus.expect([], of: child)
        }
        // Root owns the files in /proc of a process that is not dumpable.
        #expect(try run("stat", "-c", "%u", "/proc/\(program.number)/mem") == "0\n")
    }

    @Test func `raw sockets are kept only where the kernel allows no ping sockets`() throws {
        try host.run("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
        let program = try start("host-switch", [])
        try #require(try ProcessStatus.isInSandbox(program.number), "\(output)")
        #expect(try ProcessStatus.field("CapEff", of: program.number) == "0000000000002400")
    }

    @Test func `--user becomes that user, with no group and no capability`() throws {
        chmod(directory.path, 0o755)
        let program = try start("host-switch", ["--user", "nobody"])
        try #require(try ProcessStatus.isInSandbox(program.number), "\(output)")
        #expect(try ProcessStatus.field("Uid", of: program.number) == "65534\t65534\t65534\t65534")
        #expect(try ProcessStatus.field("Groups", of: program.number).isEmpty)
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            #expect(try ProcessStatus.field(set, of: program.number) == "0000000000000000")
        }
        program.end()
        let wrong = try start("gvproxy", ["--user", "nosuchuser"])
        #expect(comesTrue { !wrong.isRunning } && wrong.status == 1)
        #expect(output.contains("user nosuchuser in /etc/passwd"), "\(output)")
    }

    @Test func `--sandbox off says so loudly`() throws {
        let program = try start("host-switch", ["--sandbox", "off"])
        let sentence = "the sandbox is off: a fault gives an attacker all rights of this user"
        #expect(comesTrue { output.contains(sentence) }, "\(output)")
        #expect(try ProcessStatus.field("Seccomp", of: program.number) == "0")
    }

    @Test func `files that are replaced are still followed`() throws {
        let hosts = directory.file("hosts")
        try Data("10.9.8.1 first\n".utf8).write(to: URL(fileURLWithPath: hosts))
        let up = try UpGuest(options: ["--hosts", hosts])
        #expect(try up.guest.run("dig", "+short", "@192.168.127.1", "first") == "10.9.8.1\n")
        try Data("10.9.8.2 second\n".utf8).write(to: URL(fileURLWithPath: hosts + ".new"))
        #expect(rename(hosts + ".new", hosts) == 0)
        let isFollowed = try comesTrue {
            try up.guest.run("dig", "+short", "@192.168.127.1", "second") == "10.9.8.2\n"
        }
        #expect(isFollowed)
    }

    @Test func `the API makes sockets where --api-path allows them, and listens below 1024`() throws
    {
        let folder = directory.file("folder")
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: false
        )
        let api = directory.file("api")
        let up = try UpGuest(options: ["--api", "unix://\(api)", "--api-path", folder])
        let expose = { (body: String) in
            try run(
                "curl",
                "-sS",
                "-m",
                "20",
                "-w",
                "%{http_code}",
                "--unix-socket",
                api,
                "-d",
                body,
                "http://rdnet/services/forwarder/expose"
            )
        }
        let unix = { (path: String, remote: String) in
            #"{"local":"\#(path)","remote":"\#(remote)","protocol":"unix"}"#
        }
        let remote = "tcp://192.168.127.2:7"
        #expect(try expose(unix(folder + "/s", remote)) == "200")
        #expect(access(folder + "/s", F_OK) == 0)
        for path in [directory.file("s"), folder + "/../s", folder] {
            let answer = try expose(unix(path, remote))
            #expect(answer == "\(path) is in no folder that --api-path names\n403")
        }
        let ssh = "ssh-tunnel://root@192.168.127.2/run/x?key=/root/key"
        #expect(try expose(unix(folder + "/t", ssh)).hasPrefix("forwards over SSH need"))
        #expect(try expose(#"{"local":"127.0.0.1:81","remote":"192.168.127.2:7"}"#) == "200")
        try up.serveEcho(7, in: up.guest)
        #expect(try up.load("rr", "127.0.0.1", "81", "0.1", in: up.host)["count"] ?? 0 > 0)
    }

    @Test func `the folder of a socket is that itself, not one below it`() {
        let isDirectly = FileBroker.Grants.isDirectly
        #expect(isDirectly("/a/b", "/a") && isDirectly("/a/b", "/a/") && isDirectly("/b", "/"))
        for path in ["/a", "/a/", "/a/.", "/a/..", "/a/b/c", "/ab/c", "/a/../c", "a/b"] {
            #expect(!isDirectly(path, "/a"))
        }
    }
}
