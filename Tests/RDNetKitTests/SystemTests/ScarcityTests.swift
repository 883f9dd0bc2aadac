import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A host end that is short of descriptors, memory or disk space.
@Suite(
    "scarcity on the host",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ScarcityTests {
    private func connections(_ count: Int, in world: SwitchedGuest) throws -> Double? {
        let words = ["echo-many", SwitchedGuest.hostAlias, "7", "\(count)", "20000"]
        return try world.load(words, in: world.guest)["finished"]
    }

    @Test func `without descriptors connections fail at once, and later ones succeed`() throws {
        let limited = ["prlimit", "--nofile=64:64", BuiltProgram.rdnet]
        let world = try SwitchedGuest(programs: (limited, [BuiltProgram.rdnet]))
        try world.serveEcho(7, in: world.host)
        // The client ends with the first connection that is refused, or reset.
        #expect(throws: ProgramFailure.self) { _ = try connections(200, in: world) }
        #expect(comesTrue { world.reachesHost() }, "\(world.logs)")
        #expect(try connections(8, in: world) == 7)
        #expect(try world.guest.run("ping", "-c1", "-W9", SwitchedGuest.gateway).contains("1 rec"))
        #expect(try world.askAPI("/stats").contains("Limits"))
        #expect(world.logs.contains("limit reached"))
        #expect(world.hostSwitch?.isRunning == true)
    }

    @Test func `64 MiB of memory are enough for bulk data and stalled connections`() throws {
        let group = try MemoryGroup(limit: 64 << 20)
        let world = try SwitchedGuest()
        try world.serveEcho(7, in: world.host)
        try world.serve(BuiltProgram.load, "bulk-server", "9", in: world.host)
        try world.waitForListener(9, in: world.host)
        let host = try #require(world.hostSwitch)
        try group.add(host.number)
        for direction in ["bulk-up", "bulk-down"] {
            let words = [direction, SwitchedGuest.hostAlias, "9", "8", "134217728"]
            #expect(try world.load(words, in: world.guest)["octets"] == 134_217_728)
        }
        #expect(try connections(500, in: world) == 499)
        #expect(host.isRunning && world.reachesHost())
        host.end()
    }

    /// A program's prefix that runs it with a full file system at a path.
    private func withFullDisk(at path: String) -> [String] {
        let script = """
            mkdir -p \(path); mount -t tmpfs -o size=16k none \(path)
            head -c 100000 /dev/zero >\(path)/filler 2>/dev/null
            exec "$@"
            """
        return ["unshare", "--mount", "sh", "-c", script, "sh", BuiltProgram.rdnet]
    }

    @Test func `a log on a full disk stops nothing, and says later what it lost`() throws {
        let files = TemporaryDirectory()
        let disk = files.file("disk")
        let world = try SwitchedGuest(
            programs: (withFullDisk(at: disk), [BuiltProgram.rdnet]),
            hostOptions: ["--logfile", disk + "/log", "--log-level", "debug"]
        )
        try world.serveEcho(7, in: world.host)
        #expect(world.reachesHost())
        let host = try #require(world.hostSwitch)
        // The path leads into the program's own mounts.
        let inside = "/proc/\(host.number)/root\(disk)"
        let log = { try String(contentsOfFile: inside + "/log", encoding: .utf8) }
        #expect(try log().isEmpty)
        try FileManager.default.removeItem(atPath: inside + "/filler")
        world.vmSwitch?.end(with: SIGKILL)
        #expect(try comesTrue { try log().contains("msg=\"link closed\"") })
        let lost = try log().split(separator: "\n").first { $0.contains("log lines were dropped") }
        #expect(lost?.contains("cause=\"No space left on device\"") == true, "\(lost ?? "")")
        #expect(host.end() && host.status == 1)
    }

    @Test func `a resolver file on a full disk is one warning, and the guest has its network`()
        throws
    {
        let files = TemporaryDirectory()
        let disk = files.file("disk")
        let world = try SwitchedGuest(
            programs: ([BuiltProgram.rdnet], withFullDisk(at: disk)),
            guestOptions: ["--resolv-conf", disk + "/resolv.conf"]
        )
        try world.serveEcho(7, in: world.host)
        #expect(world.reachesHost())
        #expect(comesTrue { world.logs.contains("No space left on device") }, "\(world.logs)")
        #expect(world.logs.components(separatedBy: "No space left on device").count == 2)
        let guest = try #require(world.vmSwitch)
        #expect(guest.end() && guest.status == 1)
    }

    /// This machine may limit a process to 20,000 descriptors; the engine keeps 1,024 of them free.
    @Test func `18,500 flows that end at once leave nothing, and others go on`() throws {
        let world = try SwitchedGuest()
        try world.serveEcho(7, in: world.host)
        try world.guest.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=10000 65000")
        let host = try #require(world.hostSwitch)
        let descriptors = {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(host.number)/fd").count
        }
        let before = try descriptors()
        let output = URL(fileURLWithPath: world.directory.file("held"))
        let held = try RunningProgram(
            [BuiltProgram.load, "hold", SwitchedGuest.hostAlias, "7", "18500"],
            in: world.guest,
            output: output
        )
        let text = { try String(contentsOf: output, encoding: .utf8) }
        let areHeld = try comesTrue {
            try text().contains(#"{"held": 18500}"#) || !held.isRunning
        }
        let reached = try text()
        try #require(areHeld && held.isRunning, "\(reached)")
        #expect(try descriptors() > 18_500)
        held.end(with: SIGKILL)
        #expect(world.reachesHost())
        let areClosed = try comesTrue { try descriptors() <= before + 1 }
        #expect(areClosed)
        let settled = try host.residentSize()
        #expect(settled < 60_000_000, "\(settled)")
    }
}

/// A memory cgroup with a limit, of version 1 or 2, removed with this object.
final class MemoryGroup {
    private let path: String

    init(limit: Int) throws {
        let name = "rdnet-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let first = "/sys/fs/cgroup/memory"
        let isFirst = FileManager.default.fileExists(atPath: first + "/memory.limit_in_bytes")
        let root = isFirst ? first : "/sys/fs/cgroup"
        if !isFirst { try Self.write("+memory", to: root + "/cgroup.subtree_control") }
        path = "\(root)/\(name)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let file = isFirst ? "memory.limit_in_bytes" : "memory.max"
        try Self.write("\(limit)", to: "\(path)/\(file)")
    }

    deinit {
        // The kernel removes a group once its last process has ended.
        if !comesTrue({ rmdir(path) == 0 }) { Issue.record("\(path) stays behind") }
    }

    private static func write(_ text: String, to path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    /// Moves a process into the group; what it has by now counts for its old one.
    func add(_ process: Int32) throws {
        try Self.write("\(process)", to: path + "/cgroup.procs")
    }
}
