import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "gvforwarder",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct ForwarderTests {
    @Test func `asks for frames as the original does, and gets address, route and names`() throws {
        let world = try ForwardedGuest()
        try world.start()
        let peer = try world.accept()
        #expect(world.readRequest(peer) == ForwardedGuest.request)
        // gvproxy would lose data that arrives together with the request.
        let before = peer.received.count
        peer.read()
        #expect(peer.received.count == before)
        try world.serve(peer)
        try world.waitForAddress("tap0")
        #expect(world.reachesGateway())
        #expect(try world.guest.run("ip", "route").hasPrefix("default via 192.168.127.1 dev tap0"))
        #expect(world.text("resolv.conf").contains("nameserver 192.168.127.1"))
        let link = try world.guest.run("ip", "link", "show", "tap0")
        #expect(link.contains("5a:94:ef:e4:0c:ee") && link.contains("mtu 1500"))
    }

    @Test func `calls again when the host is gone, and keeps address and interface`() throws {
        let world = try ForwardedGuest()
        try world.start("-mac", "52:54:00:12:34:56", "-iface", "net7")
        for _ in 0..<3 {
            let peer = try world.accept()
            #expect(world.readRequest(peer) == ForwardedGuest.request)
            try world.serve(peer, "--guest-mac", "52:54:00:12:34:56")
            try world.waitForAddress("net7")
            #expect(comesTrue { world.reachesGateway() }, "\(world.log)")
            world.endHost()
        }
        #expect(world.forwarder?.isRunning == true)
    }

    @Test func `gvproxy gives it address, names and the host's pages, also after a restart`() throws
    {
        let world = try ForwardedGuest()
        let host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        let page = world.directory.file("page")
        try run("dd", "if=/dev/urandom", "of=\(page)", "bs=1M", "count=8")
        let checksum = try run("sha256sum", page).prefix(64)
        let server = try RunningProgram(
            ["busybox", "httpd", "-f", "-p", "127.0.0.1:8000", "-h", world.directory.path],
            in: host
        )
        let url = "unix://" + world.directory.file("api")
        try world.start(url: url)
        for _ in 0..<2 {
            let proxy = try RunningProgram(
                [BuiltProgram.rdnet, "gvproxy", "-listen", url],
                in: host
            )
            #expect(comesTrue { world.reachesGateway() }, "\(world.log)")
            let name = "host.containers.internal"
            #expect(
                try world.guest.run("dig", "+short", "@192.168.127.1", name)
                    == "192.168.127.254\n"
            )
            let got = world.directory.file("got")
            let page = "http://192.168.127.254:8000/page"
            try world.guest.run("curl", "-sS", "-m", "60", "-o", got, page)
            #expect(try run("sha256sum", got).prefix(64) == checksum)
            #expect(proxy.end())
        }
        server.end(with: SIGKILL)
    }

    @Test("the lease's MTU counts up to -mtu", arguments: [("4000", "4000"), ("65535", "9000")])
    func maximumMTU(option: String, expected: String) throws {
        let world = try ForwardedGuest()
        try world.start("-mtu", option)
        let peer = try world.accept()
        _ = world.readRequest(peer)
        try world.serve(peer, "--mtu", "9000")
        try world.waitForAddress("tap0")
        #expect(try world.guest.run("ip", "link", "show", "tap0").contains("mtu \(expected) "))
    }

    @Test func `an interface that somebody else made stays as it was`() throws {
        let world = try ForwardedGuest()
        try world.guest.run("ip", "tuntap", "add", "dev", "vsock0", "mode", "tap")
        try world.guest.run("ip", "link", "set", "vsock0", "address", "5a:94:ef:e4:0c:ee")
        try world.start("-preexisting", "-iface", "vsock0")
        let peer = try world.accept()
        _ = world.readRequest(peer)
        try world.serve(peer)
        // gvforwarder leaves a preexisting interface's address and state alone.
        #expect(try !world.guest.run("ip", "link", "show", "vsock0").contains(",UP"))
        try world.guest.run("ip", "link", "set", "vsock0", "up")
        try world.guest.run("ip", "address", "add", "192.168.127.2/24", "dev", "vsock0")
        #expect(comesTrue { world.reachesGateway() }, "\(world.log)")
        world.forwarder?.end()
        let link = try world.guest.run("ip", "-d", "link", "show", "vsock0")
        #expect(link.contains("persist on") && link.contains("5a:94:ef:e4:0c:ee"))
        let offloads = try world.guest.run("ethtool", "-k", "vsock0")
        #expect(offloads.contains("tx-tcp-segmentation: off"), "\(offloads)")
    }

    @Test("without the interface it must have it does not start", arguments: [false, true])
    func noInterface(isOther: Bool) throws {
        let world = try ForwardedGuest()
        if isOther { try world.guest.run("ip", "link", "add", "vsock0", "type", "bridge") }
        try world.start("-preexisting", "-iface", "vsock0")
        #expect(comesTrue { world.forwarder?.isRunning == false })
        #expect(world.forwarder?.status == 1)
        #expect(world.log.contains("vsock0: "), "\(world.log)")
    }

    @Test func `a program's standard streams lead to the host, and it is started again`() throws {
        let world = try ForwardedGuest()
        let program = world.directory.file("host-switch")
        try run("ln", "-s", BuiltProgram.rdnet, program)
        let log = world.directory.file("host.log")
        try world.start(url: "stdio:\(program)?link=stdio://&logfile=\(log)")
        try world.waitForAddress("tap0")
        #expect(world.reachesGateway())
        let number = try run("pgrep", "-f", "-x", "\(program) -link=stdio:// -logfile=\(log)")
        try run("kill", "-9", String(number.prefix { $0.isNumber }))
        #expect(comesTrue { world.reachesGateway() }, "\(world.log)")
        world.forwarder?.end()
        let isGone = comesTrue { !isRunning(program) }
        #expect(isGone)
    }

    private func isRunning(_ program: String) -> Bool {
        do {
            try run("pgrep", "-f", "\(program) -link")
            return true
        } catch {
            return false
        }
    }
}
