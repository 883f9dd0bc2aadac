import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A WSL distribution as Rancher Desktop creates it, and the host of its network.
///
/// The distribution has its own processes, mounts and network, its own `/run`, `/etc/hosts` and
/// `/etc/resolv.conf`, and our programs under their names in `/usr/local/bin`. Unix sockets replace
/// vsock: the machine's handshake port is `vm` in the directory, and the host's data port is
/// `vm_6656`, as hypervisors name it.
final class RancherDistro {
    static let hostAlias = SwitchedGuest.hostAlias
    static let gateway = SwitchedGuest.gateway

    let host: NetworkNamespace
    let network: NetworkNamespace
    let directory: TemporaryDirectory
    private let holder: RunningProgram
    /// The distribution's process 1, by its number in the test's namespace.
    private let holderChild: String
    private(set) var hostSwitch: RunningProgram?
    private var programs: [RunningProgram] = []

    /// Creates the distribution; nothing runs in it yet.
    init() throws {
        host = try NetworkNamespace()
        network = try NetworkNamespace()
        directory = TemporaryDirectory()
        for namespace in [host, network] { try namespace.run("ip", "link", "set", "lo", "up") }
        try Self.write(Self.initScript, to: directory.file("wsl-init"))
        try Self.write(Self.mounts(directory.path), to: directory.file("mounts"))
        holder = try RunningProgram(
            [
                "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                directory.file("mounts"),
            ],
            in: network
        )
        let ready = directory.file("ready")
        let isReady = comesTrue { FileManager.default.fileExists(atPath: ready) }
        try #require(isReady, "no distribution")
        holderChild = try RDNetKitTests.run("pgrep", "-P", "\(holder.number)").trimmed
    }

    deinit {
        // The end of process 1 ends all others in the distribution.
        holder.end(with: SIGKILL)
        for program in programs { program.end(with: SIGKILL) }
        hostSwitch?.end(with: SIGKILL)
    }

    private static func write(_ script: String, to path: String) throws {
        try AtomicFile.replace(path, with: script)
        try RDNetKitTests.run("chmod", "+x", path)
    }

    /// The essence of the product's `/usr/local/bin/wsl-init`.
    private static let initScript = """
        #!/bin/sh
        if [ $$ -ne 1 ]; then
            exec /usr/local/bin/network-setup --logfile "$LOG_DIR/network-setup.log" \\
                --vm-switch-path /usr/local/bin/vm-switch \\
                --vm-switch-logfile "$LOG_DIR/vm-switch.log" ${RD_DEBUG:+-debug} \\
                --unshare-arg /usr/local/bin/wsl-init
        fi
        mount --make-rshared /
        exec sleep 1000000
        """

    private static func mounts(_ directory: String) -> String {
        """
        #!/bin/bash -e
        mount -t tmpfs none /run
        mkdir /run/bin
        cp \(BuiltProgram.rdnet) /run/bin/rdnet
        /run/bin/rdnet --install /run/bin
        cp \(directory)/wsl-init /run/bin/wsl-init
        mount --bind /run/bin /usr/local/bin
        echo 'nameserver 192.0.2.1' >/run/resolv.conf
        mount --bind /run/resolv.conf /etc/resolv.conf
        {
            echo '127.0.0.1 localhost'
            echo '192.168.127.254 host.rancher-desktop.internal host.docker.internal'
            echo '192.168.127.1 gateway.rancher-desktop.internal'
        } >/run/hosts
        mount --bind /run/hosts /etc/hosts
        mkfifo /run/fifo
        exec 9<>/run/fifo
        : >\(directory)/ready
        # Like WSL's process 1, it waits for those that have lost their parent: bash does so whatever else it does.
        while :; do read -ru 9; done
        """
    }

    // MARK: The host

    /// Starts host-switch as the product does, any number of times.
    func startHostSwitch(_ options: [String] = []) throws {
        let command = [
            BuiltProgram.rdnet, "host-switch", "--vm", "unix://" + directory.file("vm"),
            "--port-forward", "127.0.0.1:6443=192.168.127.2:6443",
            "--logfile", directory.file("host.log"),
        ]
        hostSwitch = try RunningProgram(command + options, in: host)
    }

    // MARK: The distribution

    private var door: [String] { ["nsenter", "-m", "-p", "-n", "-t", holderChild] }

    /// Runs a program in the distribution and returns its output.
    @discardableResult
    func run(_ arguments: String...) throws -> String {
        try run(arguments)
    }

    /// Runs a program in the distribution and returns its output.
    @discardableResult
    func run(_ arguments: [String]) throws -> String {
        try RDNetKitTests.run(door + arguments)
    }

    /// Starts a program in the distribution; it ends with the distribution.
    @discardableResult
    func start(
        _ arguments: [String],
        environment: [String] = [],
        output: String? = nil
    ) throws -> RunningProgram {
        let program = try RunningProgram(
            environment + links + door + arguments,
            output: output.map { URL(fileURLWithPath: directory.file($0)) }
        )
        programs.append(program)
        return program
    }

    /// The addresses of the host for a network-setup command line without them.
    private var links: [String] {
        [
            "RDNET_NETWORK_SETUP_HANDSHAKE_LINK=unix://\(directory.file("vm"))",
            "RDNET_NETWORK_SETUP_DATA_LINK=unix://\(directory.file("vm_6656"))",
        ]
    }

    /// Starts the product's script, which executes network-setup.
    func startNetworkSetup() throws -> RunningProgram {
        try start(
            ["/usr/local/bin/wsl-init"],
            environment: ["LOG_DIR=\(directory.path)", "RD_DEBUG=1"],
            output: "output"
        )
    }

    /// Returns the names of the running processes, except process 1.
    func living() throws -> [String] {
        let lines = try run("ps", "-N", "-p", "1", "-o", "stat=,comm=").split(separator: "\n")
        return lines.filter { !$0.hasPrefix("Z") }.compactMap { line in
            line.split(separator: " ").last.map { String($0) }
        }
    }

    // MARK: The inner namespace

    /// The product's way into the namespace: to the only child of the process that the file names.
    private static let execute =
        #"exec nsenter -n -p -m -t "$(pgrep -P "$(cat /run/wsl-init.pid)")" "$@""#

    private func execution(_ arguments: [String]) -> [String] {
        ["sh", "-c", Self.execute, "wsl-exec"] + arguments
    }

    /// Runs a program in the containers' namespace and returns its output.
    @discardableResult
    func runInside(_ arguments: String...) throws -> String {
        try RDNetKitTests.run(door + execution(arguments))
    }

    /// Starts a program in the containers' namespace.
    @discardableResult
    func startInside(_ arguments: String..., output: String? = nil) throws -> RunningProgram {
        try start(execution(arguments), output: output)
    }

    /// Whether the host answers a ping from the containers' namespace.
    func reachesHost() -> Bool {
        succeeds { try runInside("ping", "-c", "1", "-W", "1", Self.hostAlias) }
    }

    func waitForNetwork() throws {
        try #require(comesTrue { reachesHost() }, "\(logs)")
    }

    func waitInside(forPort port: Int, kind: String = "-tln") throws {
        let isThere = try comesTrue {
            try runInside("ss", "-H", kind, "sport", "=", ":\(port)").contains(":\(port)")
        }
        try #require(isThere, "nobody listens on port \(port)")
    }

    /// All logs, for a failed test.
    var logs: String {
        ["host.log", "network-setup.log", "vm-switch.log", "output"].map { name in
            "\(name):\n" + text(of: name)
        }.joined(separator: "\n")
    }

    /// Returns the text of a file in the directory; empty if the file does not exist.
    func text(of name: String) -> String {
        directory.text(of: name)
    }
}

/// Whether a closure returns without an error.
func succeeds<Result>(_ body: () throws -> Result) -> Bool {
    do {
        _ = try body()
        return true
    } catch {
        return false
    }
}

extension String {
    /// The string without the white space around it.
    var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
