import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "capture of a running host-switch",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct CaptureTests {
    @Test func `Wireshark finds nothing wrong in it`() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("frames.pcap")
        let world = try SwitchedGuest(hostOptions: ["--capture", path])
        try world.serveEcho(7, in: world.host)
        #expect(world.reachesHost())
        try world.guest.run("ping", "-c", "1", "-W", "5", SwitchedGuest.gateway)
        try world.guest.run("dig", "+tries=1", "@\(SwitchedGuest.gateway)", "host.docker.internal")
        world.hostSwitch?.end()
        let count = { (filter: String) in
            try run("tshark", "-n", "-r", path, "-Y", filter).split(separator: "\n")
                .filter { $0.contains("→") }.count
        }
        for filter in ["dhcp.option.dhcp == 5", "icmp.type == 0", "dns.a", "tcp.flags.fin == 1"] {
            #expect(try count(filter) > 0, "\(filter)")
        }
        #expect(try count("_ws.malformed || ip.checksum.status == 0") == 0)
    }
}
