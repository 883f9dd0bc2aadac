import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A program that counts its allocations, and the file with the count.
private struct CountingProgram {
    private let directory = TemporaryDirectory()
    /// The command that runs the program.
    let command: [String]

    init() throws {
        let file = directory.file("count")
        try Data(count: 4_096).write(to: URL(fileURLWithPath: file))
        let program = try #require(BuiltProgram.counting)
        command = ["env", "RDNET_ALLOCATIONS=\(file)", program]
    }

    /// Allocator calls since the start.
    var allocations: Int {
        get throws {
            let octets = try Data(contentsOf: URL(fileURLWithPath: directory.file("count")))
            return octets.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        }
    }
}

@Suite(
    "the data path in steady state",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces"),
    .enabled(if: BuiltProgram.counting != nil, "needs RDNET_COUNTING, which make test builds")
)
struct AllocationTests {
    /// Allocations allowed for this many connections: each flow's state, and queues that grow once.
    private static func allowance(connections: Int) -> Int { 64 + 8 * connections }

    /// Loads of thousands of frames: arguments of the load program (host omitted), and connections.
    private static let traffic: [(arguments: (String, [String]), connections: Int)] = [
        (("bulk-up", ["9", "1", "200000000"]), 1), (("bulk-down", ["9", "1", "200000000"]), 1),
        (("bulk-up", ["9", "8", "200000000"]), 8), (("bulk-down", ["9", "8", "200000000"]), 8),
        (("rr", ["10", "0.3"]), 1),
        (("udp-up", ["7", "0.3", "300"]), 1), (("udp-down", ["7", "0.3", "300"]), 1),
        (("udp-up", ["7", "0.3", "300", "1200", "40"]), 1),
        (("udp-down", ["7", "0.3", "300", "1200", "40"]), 1),
    ]

    @Test("allocates nothing in up", arguments: ["1500", "65520"])
    func up(mtu: String) throws {
        let program = try CountingProgram()
        let scene = try UpGuest(program: program.command, options: ["--mtu", mtu])
        try expectNoAllocations(in: scene, of: [program])
    }

    @Test("allocates nothing in host-switch and vm-switch", arguments: ["1500", "65520"])
    func switches(mtu: String) throws {
        let (host, guest) = (try CountingProgram(), try CountingProgram())
        let scene = try SwitchedGuest(
            programs: (host.command, guest.command),
            hostOptions: ["--mtu", mtu]
        )
        try expectNoAllocations(in: scene, of: [host, guest])
    }

    @Test func `allocates nothing for datagrams to a published port, at any address`() throws {
        let program = try CountingProgram()
        let world = try ProxiedNamespaces(program: program.command)
        try world.host.run("ip", "address", "add", "10.9.0.2/32", "dev", "lo")
        try world.serve(BuiltProgram.load, "udp-server", "7", in: world.guest)
        try world.waitForListener(7, in: world.guest, kind: "-uln")
        try world.publish(7, "0.0.0.0", "udp")
        #expect(try program.allocations > 100)
        // The tables grow in the first round.
        for isWarm in [false, true] {
            for way in ["udp-up", "udp-down"] {
                let before = try program.allocations
                let result = try world.load(way, "10.9.0.2", "7", "0.3", "300", in: world.host)
                #expect(result["received"] ?? 0 > 0, "\(way): \(result)")
                let more = try program.allocations - before
                let isAllowed = !isWarm || more <= Self.allowance(connections: 1)
                #expect(isAllowed, "\(way): \(more), \(result)")
            }
        }
    }

    private func expectNoAllocations(in scene: any GuestScene, of programs: [CountingProgram])
        throws
    {
        try scene.serve(BuiltProgram.load, "bulk-server", "9", in: scene.host)
        try scene.serve(BuiltProgram.load, "udp-server", "7", in: scene.host)
        try scene.serveEcho(10, in: scene.host)
        try scene.waitForListener(9, in: scene.host)
        try scene.waitForListener(7, in: scene.host, kind: "-uln")
        for program in programs { #expect(try program.allocations > 100) }
        // The tables grow in the first round.
        for isWarm in [false, true] {
            for ((name, operands), connections) in Self.traffic {
                let before = try programs.map { try $0.allocations }
                let result = try scene.load(
                    [name, SwitchedGuest.hostAlias] + operands,
                    in: scene.guest
                )
                let more = zip(try programs.map { try $0.allocations }, before).map { $0 - $1 }
                guard isWarm else { continue }
                let limit = Self.allowance(connections: connections)
                #expect(more.allSatisfy { $0 <= limit }, "\(name) \(operands): \(more), \(result)")
            }
        }
    }
}
