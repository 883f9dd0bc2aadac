import Foundation
import Testing

@testable import RDNetKit

/// A machine with its own processes, mounts, network and `/etc`, and a host for its guest ends.
///
/// Process 1 is in the machine's network namespace. The host is outside, at the other end of a unix
/// socket.
final class ResolverMachine {
    /// The initial text of the machine's file.
    static let text = "nameserver 192.0.2.53\n"
    static let path = "/etc/resolv.conf"

    let host: NetworkNamespace
    let network: NetworkNamespace
    let directory = TemporaryDirectory()
    private let holder: RunningProgram
    /// The machine's process 1, by its number in the test's namespace.
    private let holderChild: String
    private var hostSwitch: RunningProgram?
    private var programs: [RunningProgram] = []

    /// Creates the machine; nothing runs in it yet.
    init() throws {
        host = try NetworkNamespace()
        network = try NetworkNamespace()
        for namespace in [host, network] { try namespace.run("ip", "link", "set", "lo", "up") }
        let script = directory.file("machine")
        try Data(Self.script(directory.path).utf8).write(to: URL(fileURLWithPath: script))
        holder = try RunningProgram(
            [
                "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash",
                "-e", script,
            ],
            in: network
        )
        let ready = directory.file("ready")
        try #require(comesTrue { FileManager.default.fileExists(atPath: ready) }, "no machine")
        holderChild = try RDNetKitTests.run("pgrep", "-P", "\(holder.number)").trimmed
    }

    deinit {
        // The end of process 1 ends all processes of the machine.
        holder.end(with: SIGKILL)
        for program in programs { program.end(with: SIGKILL) }
        hostSwitch?.end(with: SIGKILL)
    }

    private static func script(_ directory: String) -> String {
        """
        mount -t tmpfs none /run
        mkdir -p /run/etc/netns /run/netns /run/bin
        for name in alternatives group hosts iproute2 ld.so.cache nsswitch.conf passwd services; do
            if [ -e /etc/$name ]; then cp -a /etc/$name /run/etc; fi
        done
        mount --bind /run/etc /etc
        printf '\(text)' >/etc/resolv.conf
        # A copy, because tests hide /tmp or run as a user who cannot reach the build folder.
        cp \(BuiltProgram.rdnet) /run/bin/rdnet
        for name in vm-switch gvforwarder network-setup; do ln -s rdnet /run/bin/$name; done
        printf '#!/bin/sh\\nexec sleep 1000000\\n' >/run/bin/wsl-init
        chmod +x /run/bin/wsl-init
        mkfifo /run/fifo
        exec 9<>/run/fifo
        : >\(directory)/ready
        while :; do read -ru 9; done
        """
    }

    // MARK: The host

    var link: String { "unix://" + directory.file("link") }

    /// Starts `host-switch`, or restarts it, with a search domain for the lease.
    func startHost(search domain: String, link: String? = nil) throws {
        let link = link ?? "--link=" + self.link
        try startHost(["host-switch", link, "--dns-search", domain, "--logfile", ""])
    }

    /// Starts a host role after ending the running one.
    func startHost(_ arguments: [String]) throws {
        hostSwitch?.end()
        hostSwitch = try RunningProgram([BuiltProgram.rdnet] + arguments, in: host)
    }

    /// Returns the file's text for a lease.
    static func lease(search domain: String) -> String {
        "search \(domain)\nnameserver \(SwitchedGuest.gateway)\nnameserver fdc0:a87f::1\n"
    }

    // MARK: The machine

    private var door: [String] { ["nsenter", "-m", "-p", "-n", "-t", holderChild] }

    /// Runs a shell command in the machine, for a minute at most; returns its output.
    @discardableResult
    func run(_ command: String) throws -> String {
        try RDNetKitTests.run(door + ["timeout", "60", "sh", "-c", Self.setting + command])
    }

    /// Starts a shell command in the machine; it ends with the machine.
    @discardableResult
    func start(_ command: String, output: String = "output") throws -> RunningProgram {
        let program = try RunningProgram(
            door + ["sh", "-c", Self.setting + command],
            output: URL(fileURLWithPath: directory.file(output))
        )
        programs.append(program)
        return program
    }

    private static let setting = "export PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin; "

    /// Starts a guest end; `prefix` is a command such as `ip netns exec guest`.
    func startGuest(
        _ prefix: String = "",
        role: String = "vm-switch",
        _ options: String = ""
    ) throws {
        let log = directory.file("guest.log")
        let address = role == "vm-switch" ? "--link \(link)" : "-url \(link)"
        try start("exec \(prefix) \(role) \(address) --logfile \(log) \(options)")
    }

    /// Sends a signal to a guest end and waits until it exits.
    func endGuest(_ role: String = "vm-switch", _ signal: String = "TERM") throws {
        try run("pkill -\(signal) -x \(role); while pgrep -x \(role); do sleep 0.02; done")
    }

    /// The text of the machine's file; nil if the file does not exist.
    var file: String? {
        get throws {
            let text = try run("cat \(Self.path) || echo none")
            return text.hasSuffix("none\n") ? nil : text
        }
    }

    /// Renames a new file over the machine's, as DHCP clients and network managers do.
    func replaceFile(with text: String) throws {
        try run("printf '\(text)' >/etc/new; mv /etc/new \(Self.path)")
    }

    /// Waits until the guest end has logged a text this many times.
    func waitForLog(_ text: String, times: Int = 1) throws {
        let isThere = comesTrue(within: .seconds(60)) { count(text) >= times }
        try #require(isThere, "\(text): \(log)")
    }

    /// Returns how often the guest end has logged a text.
    func count(_ text: String) -> Int { log.components(separatedBy: text).count - 1 }

    /// The guest end's log.
    var log: String { self.text(of: "guest.log") }

    /// Returns the text of a file in the directory; empty if the file does not exist.
    func text(of name: String) -> String {
        directory.text(of: name)
    }
}
