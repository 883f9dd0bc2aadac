import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "Rancher Desktop's way, when something ends",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct RancherHealingTests {
    private let distro: RancherDistro
    private let networkSetup: RunningProgram

    init() throws {
        distro = try RancherDistro()
        try distro.startHostSwitch()
        networkSetup = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        try distro.startInside(BuiltProgram.load, "echo", "6443")
        try distro.waitInside(forPort: 6443)
    }

    /// Waits until host and containers reach each other; returns whether the setup is intact.
    ///
    /// network-setup must still run, the forward must work, and the address must be the same.
    private func heals() -> Bool {
        let isHealed = comesTrue {
            distro.reachesHost()
                && succeeds {
                    try distro.host.run(BuiltProgram.load, "rr", "127.0.0.1", "6443", "0.01")
                }
        }
        return isHealed && networkSetup.isRunning
            && succeeds { try distro.runInside("ip", "address", "show", "to", "192.168.127.2/32") }
    }

    private func interface() throws -> String {
        try distro.runInside("ip", "-o", "link", "show", "eth0")
    }

    @Test func `a vm-switch that was killed is started anew in the same namespace`() throws {
        for _ in 0..<2 {
            let before = try distro.runInside("readlink", "/proc/self/ns/net")
            try distro.run("pkill", "-KILL", "-x", "vm-switch")
            #expect(heals(), "\(distro.logs)")
            #expect(try distro.runInside("readlink", "/proc/self/ns/net") == before)
            // The parent has reaped it.
            #expect(try !distro.run("ps", "-A", "-o", "stat=").contains("Z"))
        }
        let told = "vm-switch exited; restarting it at the next handshake"
        #expect(distro.text(of: "network-setup.log").contains(told))
    }

    @Test func `the containers live through a time without a vm-switch to start`() throws {
        let program = "/usr/local/bin/vm-switch"
        try distro.run("mv", program, program + ".old")
        try distro.run("pkill", "-KILL", "-x", "vm-switch")
        let told = "cannot start vm-switch"
        #expect(comesTrue { distro.text(of: "network-setup.log").contains(told) })
        try distro.run("mv", program + ".old", program)
        #expect(comesTrue { distro.reachesHost() }, "\(distro.logs)")
        #expect(networkSetup.isRunning)
    }

    @Test("a host-switch that ended is found again", arguments: [SIGTERM, SIGKILL])
    func hostSwitchEnds(signal: Int32) throws {
        let before = try interface()
        distro.hostSwitch?.end(with: signal)
        #expect(!distro.reachesHost())
        try distro.startHostSwitch()
        #expect(heals(), "\(distro.logs)")
        #expect(try interface() == before)
    }

    @Test func `connections live through a stream that is cut`() throws {
        let server = try RunningProgram([BuiltProgram.load, "echo", "7"], in: distro.host)
        let before = try interface()
        #expect(comesTrue { succeeds { try distro.host.run("nc", "-z", "127.0.0.1", "7") } })
        let client = try distro.startInside("nc", RancherDistro.hostAlias, "7", output: "echoed")
        try client.write(line: "one")
        #expect(comesTrue { distro.text(of: "echoed") == "one\n" })
        for line in ["two", "three"] {
            try cutStream()
            try client.write(line: line)
            #expect(heals(), "\(distro.logs)")
            #expect(comesTrue { distro.text(of: "echoed").hasSuffix(line + "\n") })
        }
        #expect(distro.text(of: "echoed") == "one\ntwo\nthree\n")
        #expect(try interface() == before)
        #expect(distro.text(of: "network-setup.log").contains("new stream passed to vm-switch"))
        server.end(with: SIGKILL)
    }

    /// Shuts down vm-switch's stream while both of its ends run.
    private func cutStream() throws {
        let numbers = try run("pgrep", "-x", "vm-switch").split(separator: "\n")
        // Other tests run a vm-switch too.
        let process = try #require(
            numbers.compactMap { Int32($0) }.first { isOurs($0) }
        )
        let descriptor = OwnedDescriptor(adopting: pidfd_open(process, 0))
        let stream = OwnedDescriptor(adopting: pidfd_getfd(descriptor.number, 3, 0))
        Socket.shutDownBoth(stream)
    }

    private func isOurs(_ process: Int32) -> Bool {
        let arguments = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") ?? Data()
        return String(decoding: arguments, as: UTF8.self).contains(distro.directory.path)
    }
}
