import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// What becomes of transfers when a process is killed or stopped in the middle of them.
@Suite(
    "a process that fails under load",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ProcessFaultTests {
    private let world: SwitchedGuest
    private let output: URL

    init() throws {
        world = try SwitchedGuest()
        output = URL(fileURLWithPath: world.directory.file("output"))
        try world.serve(BuiltProgram.load, "bulk-server", "9", in: world.host)
        try world.waitForListener(9, in: world.host)
        try world.serveEcho(7, in: world.host)
    }

    /// Starts a transfer of the guest that takes long enough for anything to happen meanwhile.
    private func start(_ direction: String, octets: Int) throws -> RunningProgram {
        let transfer = try RunningProgram(
            [BuiltProgram.load, direction, SwitchedGuest.hostAlias, "9", "2", "\(octets)"],
            in: world.guest,
            output: output
        )
        let isUnderWay = try comesTrue { try received() > 1 << 20 }
        try #require(isUnderWay, "\(world.logs)")
        return transfer
    }

    /// The bytes that the guest's interface has sent and received.
    private func received() throws -> Int {
        let path = "/sys/class/net/eth0/statistics"
        let text = try world.guest.run("cat", "\(path)/rx_bytes", "\(path)/tx_bytes")
        return text.split(separator: "\n").compactMap { Int($0) }.reduce(0, +)
    }

    private func result() throws -> String { try String(contentsOf: output, encoding: .utf8) }

    /// Waits until the guest's kernel has sent something twice without an answer.
    private func waitForRetransmissions() throws {
        let isRepeating = try comesTrue {
            try world.guest.run("ss", "-Htno").split(separator: "\n").contains { line in
                guard let timer = line.range(of: "timer:(on,") else { return false }
                let fields = line[timer.upperBound...].split(separator: ",")
                return fields.count > 1 && (fields[1].first?.wholeNumberValue ?? 0) >= 2
            }
        }
        try #require(isRepeating, "nothing is sent again")
    }

    @Test(
        "stopped for a while, it delays a transfer and loses no byte of it",
        arguments: ["bulk-up", "bulk-down"],
        [true, false]
    )
    func stopped(direction: String, isHostEnd: Bool) throws {
        let transfer = try start(direction, octets: 1 << 30)
        let process = try #require(isHostEnd ? world.hostSwitch : world.vmSwitch).number
        #expect(kill(process, SIGSTOP) == 0)
        if direction == "bulk-up" {
            try waitForRetransmissions()
        } else {
            // The receiver has no timer; the transfer stands once nothing arrives any more.
            var last = -1
            let stands = try comesTrue {
                let before = last
                last = try received()
                return last == before
            }
            try #require(stands)
        }
        #expect(kill(process, SIGCONT) == 0)
        #expect(comesTrue { !transfer.isRunning })
        #expect(try result().contains("\"octets\": \(1 << 30)"))
    }

    @Test func `killed and started again, the guest end goes on with the transfer`() throws {
        let transfer = try start("bulk-down", octets: 128 << 20)
        world.vmSwitch?.end(with: SIGKILL)
        try world.startVMSwitch()
        try world.waitForAddress()
        #expect(comesTrue { !transfer.isRunning })
        #expect(try result().contains("\"octets\": \(128 << 20)"))
    }

    @Test("a killed host end ends transfers, and its successor serves new ones") func killed()
        throws
    {
        let transfer = try start("bulk-up", octets: 1 << 40)
        world.hostSwitch?.end(with: SIGKILL)
        #expect(world.vmSwitch?.isRunning == true)
        try world.startHostSwitch()
        // The new host end does not know the connections and resets them.
        #expect(comesTrue { !transfer.isRunning })
        #expect(transfer.status == 1)
        #expect(comesTrue { world.reachesHost() }, "\(world.logs)")
    }

    @Test func `without its broker a host end serves on with the files that it has read`() throws {
        #expect(world.reachesHost())
        let host = try #require(world.hostSwitch)
        let broker = try run("pgrep", "-P", "\(host.number)").trimmed
        let number = try #require(Int32(broker))
        let transfer = try start("bulk-down", octets: 128 << 20)
        #expect(kill(number, SIGKILL) == 0)
        #expect(comesTrue { !transfer.isRunning })
        #expect(try result().contains("\"octets\": \(128 << 20)"))
        let name = try world.guest.run(
            "dig",
            "+short",
            "+tries=3",
            "@\(SwitchedGuest.gateway)",
            "host.docker.internal"
        )
        #expect(name.trimmed == SwitchedGuest.hostAlias)
        // No query waits for an answer from the dead child.
        #expect(world.reachesHost() && host.isRunning)
        #expect(host.end() && host.status == 1)
    }

    @Test func `an interface that was down has its address and route again`() throws {
        try world.guest.run("ip", "link", "set", "eth0", "down")
        #expect(try !world.guest.run("ip", "route").contains("default"))
        try world.guest.run("ip", "link", "set", "eth0", "up")
        #expect(
            try comesTrue {
                try world.guest.run("ip", "route").contains("default via \(SwitchedGuest.gateway)")
            },
            "\(world.logs)"
        )
        #expect(comesTrue { world.reachesHost() })
    }
}
