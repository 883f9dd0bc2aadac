import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "many connections",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ManyConnectionsTests {
    @Test func `199 echoes finish beside one that never reads`() throws {
        let world = try SwitchedGuest()
        try world.serveEcho(7, in: world.host)
        // Repeats the test: bytes left in a host socket shut its window in only one run of five.
        for _ in 0..<12 {
            let result = try world.load(
                "echo-many",
                SwitchedGuest.hostAlias,
                "7",
                "200",
                "300000",
                in: world.guest
            )
            #expect(result["finished"] == 199)
        }
        #expect(world.reachesHost())
    }

    @Test func `4,000 held connections cost 30 MB at most, and all are alive afterwards`() throws {
        let world = try SwitchedGuest()
        try world.serveEcho(7, in: world.host)
        let output = URL(fileURLWithPath: world.directory.file("held"))
        let held = try RunningProgram(
            [BuiltProgram.load, "hold", SwitchedGuest.hostAlias, "7", "4000"],
            in: world.guest,
            output: output
        )
        let text = { try String(contentsOf: output, encoding: .utf8) }
        let areHeld = try comesTrue {
            try text().contains(#"{"held": 4000}"#) || !held.isRunning
        }
        let reached = try text()
        try #require(areHeld && held.isRunning, "\(reached)")
        let resident = try #require(world.hostSwitch).residentSize()
        #expect(resident <= 30_000_000)
        try held.write(line: "go on")
        #expect(try comesTrue { try text().contains(#"{"alive": 4000}"#) })
    }
}
