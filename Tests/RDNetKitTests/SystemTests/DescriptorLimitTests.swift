import Foundation
import Testing

@testable import RDNetKit

/// A guest of `rdnet up` under a limit of 1,024 descriptors.
@Suite(
    "at the limit of descriptors",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct DescriptorLimitTests {
    private let files = TemporaryDirectory()
    private let world: UpGuest

    init() throws {
        world = try UpGuest(
            program: ["prlimit", "--nofile=1024:1024", BuiltProgram.rdnet],
            options: ["--api", "unix://\(files.file("api"))"]
        )
        try world.serveEcho(7, in: world.host)
        for port in ["7", "53"] {
            try world.serve(BuiltProgram.load, "udp-echo", port, in: world.host)
            try world.waitForListener(try #require(Int(port)), in: world.host, kind: "-uln")
        }
    }

    private func statistics() throws -> [String: Any] {
        let url = "http://unix/stats"
        let text = try run("curl", "-sS", "--unix-socket", files.file("api"), url)
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        return try #require(value as? [String: Any])
    }

    private func exchange(_ count: Int, port: String) throws -> Double? {
        let clients = ["udp-clients", SwitchedGuest.hostAlias, port, String(count)]
        return try world.load(clients, in: world.guest)["answered"]
    }

    @Test func `UDP uses up the descriptors: idle flows give way, TCP and API go on`() throws {
        #expect(try exchange(1_200, port: "7") == 1_200)
        let before = try #require(try statistics()["UDPFlows"] as? Int)
        #expect(before <= 768)
        // These are more than the remaining descriptors, so TCP must displace UDP flows.
        let echoed = try world.load(
            "echo-many",
            SwitchedGuest.hostAlias,
            "7",
            "600",
            "1000",
            in: world.guest
        )
        #expect(echoed["finished"] == 599)
        #expect(try exchange(100, port: "7") == 100)
        let limits = try #require(try statistics()["Limits"] as? [String: Int])
        #expect(try #require(limits["descriptors"]) > 0)
        let warnings = try world.log.split(separator: "\n").filter {
            $0.contains("limit reached") && $0.contains("maximum=1024")
        }
        #expect(!warnings.isEmpty)
        // The log has at most one warning a minute, although thousands of flows were displaced.
        #expect(warnings.count < 10)
    }

    @Test func `a finished query gives its descriptor back within seconds`() throws {
        #expect(try exchange(50, port: "53") == 50)
        #expect(try exchange(3, port: "7") == 3)
        // The flows to port 7 stay for minutes.
        #expect(try comesTrue { try statistics()["UDPFlows"] as? Int == 3 })
    }
}
