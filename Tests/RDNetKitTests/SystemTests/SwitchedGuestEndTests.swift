import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "host-switch and vm-switch, ending and coming back",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SwitchedGuestEndTests {
    @Test func `a guest that was killed comes back to its address and its forwards`() throws {
        let options = ["--tap-mac-address", "52:54:00:12:34:56"]
        let world = try SwitchedGuest(address: "192.168.127.3", guestOptions: options)
        try world.serveEcho(7, in: world.guest)
        try world.askAPI(
            "/services/forwarder/expose",
            body: #"{"local":"127.0.0.1:8080","remote":"192.168.127.3:7"}"#
        )
        for _ in 0..<3 {
            #expect(
                try world.load("rr", "127.0.0.1", "8080", "0.05", in: world.host)["count"] ?? 0 > 0
            )
            world.vmSwitch?.end(with: SIGKILL)
            try world.startVMSwitch()
            try world.waitForAddress("192.168.127.3")
        }
        #expect(
            try world.load("rr", "127.0.0.1", "8080", "0.05", in: world.host)["count"] ?? 0 > 0
        )
        #expect(try world.askAPI("/leases").contains("192.168.127.3"))
    }

    @Test func `vm-switch finds a host-switch that was ended and started again`() throws {
        let world = try SwitchedGuest()
        try world.serveEcho(7, in: world.host)
        #expect(world.reachesHost())
        for signal in [SIGTERM, SIGKILL] {
            world.hostSwitch?.end(with: signal)
            #expect(world.vmSwitch?.isRunning == true)
            try world.startHostSwitch()
            #expect(comesTrue { world.reachesHost() }, "\(world.logs)")
        }
        #expect(try world.guest.run("ip", "-4", "address").contains("inet 192.168.127.2/24"))
    }

    @Test func `SIGTERM ends both at once, and they leave nothing behind`() throws {
        let world = try SwitchedGuest()
        try world.serveEcho(7, in: world.host)
        #expect(world.reachesHost())
        let guestEnd = try #require(world.vmSwitch)
        let hostEnd = try #require(world.hostSwitch)
        #expect(guestEnd.end())
        #expect(hostEnd.end())
        #expect(guestEnd.status == 1)
        #expect(hostEnd.status == 1)
        #expect(try !world.guest.run("ip", "link").contains("eth0"))
        let left = try FileManager.default.contentsOfDirectory(atPath: world.directory.path)
        #expect(Set(left) == ["host.log", "guest.log"])
    }

    @Test func `a host-switch that was killed does not keep its successor from its sockets`() throws
    {
        let world = try SwitchedGuest()
        world.hostSwitch?.end(with: SIGKILL)
        try world.startHostSwitch()
        #expect(try comesTrue { try world.guestIsListed() }, "\(world.logs)")
    }
}

extension SwitchedGuest {
    /// Whether the host lists a guest with an address.
    fileprivate func guestIsListed() throws -> Bool {
        do {
            return try askAPI("/leases").contains("192.168.127.2")
        } catch is ProgramFailure {
            return false
        }
    }
}
