import Foundation
import Testing

@testable import RDNetKit

@Suite(
    "an interface that is deleted",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct DeletedInterfaceTests {
    /// Whether the guest has its address and default route, and the gateway answers.
    private func isWhole(
        _ guest: NetworkNamespace,
        _ address: String = "192.168.127.2"
    ) throws -> Bool {
        do {
            return try guest.run("ip", "-4", "address").contains("inet \(address)/24")
                && guest.run("ip", "route").contains("default via 192.168.127.1 dev eth0")
                && guest.run("ping", "-c", "1", "-W", "5", "192.168.127.1").contains("1 received")
        } catch is ProgramFailure {
            return false
        }
    }

    @Test("comes back with vm-switch's MAC address and lease", arguments: [true, false])
    func vmSwitch(isDialed: Bool) throws {
        let world = try SwitchedGuest(
            isDialed ? .link : .handshake,
            address: "192.168.127.3",
            guestOptions: ["--tap-mac-address", ""]
        )
        let process = try #require(world.vmSwitch?.number)
        let mac = try world.guest.run("cat", "/sys/class/net/eth0/address")
        for _ in 0..<2 {
            try world.guest.run("ip", "link", "del", "eth0")
            #expect(try comesTrue { try isWhole(world.guest, "192.168.127.3") }, "\(world.logs)")
        }
        #expect(try world.guest.run("cat", "/sys/class/net/eth0/address") == mac)
        #expect(world.vmSwitch?.number == process && world.vmSwitch?.isRunning == true)
        #expect(world.logs.contains("eth0: the interface was deleted; creating it again"))
    }

    @Test func `ends vm-switch in one sentence when another one has its name`() throws {
        let world = try SwitchedGuest()
        try world.guest.run(
            "sh",
            "-c",
            "ip link del eth0; ip link add eth0 type veth peer name other"
        )
        #expect(comesTrue { world.vmSwitch?.isRunning == false })
        #expect(world.vmSwitch?.status == 1)
        #expect(world.logs.contains("eth0: an interface of that name exists already"))
    }

    @Test func `comes back inside up, and the command keeps its forwards`() throws {
        let up = try UpGuest(options: ["--port-forward", "127.0.0.1:8080=192.168.127.2:7"])
        for _ in 0..<2 {
            try up.guest.run("ip", "link", "del", "eth0")
            #expect(try comesTrue { try isWhole(up.guest) })
        }
        try up.serveEcho(7, in: up.guest)
        let count = try up.load("rr", "127.0.0.1", "8080", "0.05", in: up.host)["count"]
        #expect(count ?? 0 > 0)
        #expect(try up.log.contains("the interface was deleted; creating it again"))
    }
}
