import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `gvproxy` in one namespace, `gvforwarder` and OpenSSH's server in another, a socket in each.
///
/// Network namespaces do not separate unix sockets with a path: the guest's is the test's own, and
/// `sshd` connects to it.
final class SSHForwardScene {
    let host: NetworkNamespace
    let guest: NetworkNamespace
    let directory = TemporaryDirectory()
    /// The guest's socket.
    let server: OwnedDescriptor
    private let names: (key: String, destination: String)
    private(set) var proxy: RunningProgram?
    private var forwarder: RunningProgram?
    private var sshServer: RunningProgram?

    /// Creates everything except `gvproxy`, the guest's network and the SSH server.
    ///
    /// - Parameters:
    ///   - key: The private key's file name.
    ///   - destination: The file name of the guest's socket.
    /// - Throws: If a namespace, a key or a socket cannot be created.
    init(key: String = "key", destination: String = "destination") throws {
        names = (directory.file(key), directory.file(destination))
        host = try NetworkNamespace()
        guest = try NetworkNamespace()
        for namespace in [host, guest] { try namespace.run("ip", "link", "set", "lo", "up") }
        for file in [names.key, directory.file("host-key"), directory.file("other-key")] {
            try RDNetKitTests.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file)
        }
        try RDNetKitTests.run("mkdir", "-p", "/run/sshd", directory.file("run"))
        server = try ListeningSocket.unix(path: names.destination)
        try allow(names.key)
        let settings = """
            HostKey \(directory.file("host-key"))
            PidFile none
            UsePAM no
            StrictModes no
            PermitRootLogin yes
            AuthorizedKeysFile \(directory.file("allowed"))
            """
        try Data(settings.utf8).write(to: URL(fileURLWithPath: directory.file("sshd_config")))
    }

    deinit {
        forwarder?.end(with: SIGKILL)
        proxy?.end(with: SIGKILL)
        endSSHServer()
    }

    /// The host's socket.
    var socket: String { directory.file("socket") }
    var key: String { names.key }
    var destination: String { names.destination }
    var log: String { text("log") }
    /// The private directories that `gvproxy` has created.
    var privateFiles: [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: directory.file("run"))
        } catch {
            return ["\(error)"]
        }
    }

    func text(_ file: String) -> String {
        directory.text(of: file)
    }

    /// Returns the options of a forward to the guest's socket.
    func forward(user: String = "root", identity: String? = nil) -> [String] {
        [
            "-forward-sock", socket, "-forward-dest", destination, "-forward-user", user,
            "-forward-identity", identity ?? key,
        ]
    }

    /// Makes the SSH server accept only this key.
    func allow(_ key: String) throws {
        try RDNetKitTests.run("cp", key + ".pub", directory.file("allowed"))
    }

    /// Starts `gvproxy`.
    func start(_ options: [String], environment: [String] = []) throws {
        proxy = try RunningProgram(
            ["env", "XDG_RUNTIME_DIR=" + directory.file("run")] + environment + [
                BuiltProgram.rdnet, "gvproxy", "-listen", "unix://" + directory.file("api"),
                "-log-file", directory.file("log"), "-debug",
            ] + options,
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
    }

    /// Starts the guest's network.
    func startGuest() throws {
        forwarder = try RunningProgram(
            [
                BuiltProgram.rdnet, "gvforwarder", "-url", "unix://" + directory.file("api"),
                "-logfile", directory.file("guest.log"), "-resolv-conf", "",
            ],
            in: guest
        )
        let hasAddress = try comesTrue {
            try guest.run("ip", "-4", "address").contains("inet 192.168.127.2/24")
        }
        try #require(hasAddress, "\(log)\(text("guest.log"))")
    }

    func startSSHServer() throws {
        // sshd closes the descriptor by which Foundation detects a program's end, so a shell keeps
        // it open.
        let command = "/usr/sbin/sshd -D -e -f \(directory.file("sshd_config")) & wait"
        sshServer = try RunningProgram(
            ["sh", "-c", command],
            in: guest,
            output: URL(fileURLWithPath: directory.file("sshd.log"))
        )
    }

    /// Ends the SSH server and its processes for connections.
    func endSSHServer() {
        sshServer?.end(with: SIGKILL)
        sshServer = nil
        for process in processes(in: guest, named: "sshd") { kill(process, SIGKILL) }
    }

    /// Returns the processes with this name in a namespace.
    func processes(in namespace: NetworkNamespace, named name: String) -> [Int32] {
        do {
            let numbers = try RDNetKitTests.run("ip", "netns", "pids", namespace.name)
            return numbers.split(separator: "\n").compactMap { Int32($0) }.filter { number in
                FileManager.default.contents(atPath: "/proc/\(number)/comm")
                    == Data("\(name)\n".utf8)
            }
        } catch {
            return []
        }
    }

    /// Starts everything and waits until the forward is up.
    func startAll(_ options: [String]? = nil) throws {
        try start(options ?? forward())
        try waitForAPI()
        try startSSHServer()
        try startGuest()
        try waitForForward()
    }

    func waitForAPI() throws {
        let api = directory.file("api")
        let isThere = comesTrue { FileManager.default.fileExists(atPath: api) }
        try #require(isThere, "\(log)\(text("output"))")
    }

    /// Waits until the host's socket exists; the API's socket exists a moment earlier.
    func waitForSocket() throws {
        let isThere = comesTrue { FileManager.default.fileExists(atPath: socket) }
        try #require(isThere, "\(log)\(text("output"))")
    }

    func waitForForward(times: Int = 1) throws {
        let isUp = comesTrue { lines(with: "ssh forward established").count >= times }
        try #require(isUp, "\(log)\(text("sshd.log"))")
    }

    /// Returns the log's lines that contain a text.
    func lines(with text: String) -> [Substring] {
        log.split(separator: "\n").filter { $0.contains(text) }
    }

    /// Connects to the host's socket.
    func connect() throws -> HostPeer {
        let address = try #require(SocketAddress(path: socket))
        let stream = try Socket.makeUnix()
        let isConnected = try Socket.connect(stream, to: address)
        try #require(isConnected)
        return HostPeer(stream)
    }

    /// Accepts the next connection to the guest's socket.
    func accept() throws -> HostPeer {
        var peer: HostPeer?
        let hasCome = try comesTrue {
            if let accepted = try Socket.accept(server) {
                peer = HostPeer(try accepted.descriptor.duplicate())
            }
            return peer != nil
        }
        try #require(hasCome, "nobody calls: \(log)\(text("sshd.log"))")
        return try #require(peer)
    }

    /// Waits until a peer has received exactly this text.
    func reads(_ peer: HostPeer, _ text: String) -> Bool {
        comesTrue { peer.text == text }
    }

    /// Waits until a peer has reached the stream's end.
    func readsEnd(_ peer: HostPeer) -> Bool {
        comesTrue {
            peer.read()
            return peer.hasEnded
        }
    }

    func ask(_ path: String, _ body: String) throws -> String {
        try RDNetKitTests.run(
            "curl",
            "-sS",
            "--unix-socket",
            directory.file("api"),
            "http://host\(path)",
            "-d",
            body
        )
    }
}
