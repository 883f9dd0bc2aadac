import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "network namespaces",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct NetworkNamespacesTests {
    /// Returns this thread's namespace, as the kernel names it.
    private func here() throws -> String {
        try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self/ns/net")
    }

    @Test func `a fresh one is empty, and being in it ends with the work in it`() throws {
        let home = try here()
        let fresh = try Namespace.makeNetwork()
        #expect(try here() == home)
        var inside = ""
        let links = try Namespace.within(fresh) { () throws(SystemError) in
            var netlink = try Netlink()
            inside = (try? here()) ?? ""
            return try netlink.link(named: "lo").isUp
        }
        #expect(!links)
        #expect(inside.hasPrefix("net:") && inside != home)
        #expect(throws: SystemError.self) {
            try Namespace.within(fresh) { () throws(SystemError) in
                throw SystemError.invalid("test")
            }
        }
        #expect(try here() == home)
    }

    @Test func `that of a process is found by its number`() throws {
        let descriptor = try Namespace.network(of: getpid())
        let inside = try Namespace.within(descriptor) { () throws(SystemError) in
            (try? here()) ?? ""
        }
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net")
        #expect(inside == own)
        do {
            _ = try Namespace.network(of: Int32.max)
            Issue.record("there is no such process")
        } catch {
            #expect("\(error)" == "open /proc/2147483647/ns/net: No such file or directory")
        }
    }

    @Test func `its residents are killed, and nobody else`() throws {
        let crowded = try NetworkNamespace()
        let other = try NetworkNamespace()
        let residents = try (0..<3).map { _ in try RunningProgram(["sleep", "60"], in: crowded) }
        let bystander = try RunningProgram(["sleep", "60"], in: other)
        // ip(8) enters the namespace before it executes the program.
        let areThere = try comesTrue {
            try run("ip", "netns", "pids", crowded.name).split(separator: "\n").count == 3
        }
        #expect(areThere)
        let descriptor = try crowded.enter { try Namespace.currentNetwork() }
        let ending = NamespaceResidents()
        #expect(ending.kill(in: descriptor) == 3)
        #expect(comesTrue { ending.kill(in: descriptor) == 0 })
        #expect(comesTrue { residents.allSatisfy { !$0.isRunning } })
        #expect(bystander.isRunning)
    }
}
