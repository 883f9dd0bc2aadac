import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "Rancher Desktop's way of publishing ports",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct RancherPortsTests {
    private let distro: RancherDistro

    /// Starts everything as the product does: wsl-proxy last, without waiting for it.
    init() throws {
        distro = try RancherDistro()
        try distro.startHostSwitch()
        _ = try distro.startNetworkSetup()
        try distro.waitForNetwork()
        try distro.start([
            "/usr/local/bin/wsl-proxy", "-debug=true",
            "-logfile=\(distro.directory.file("wsl-proxy.log"))",
        ])
        try distro.startInside(BuiltProgram.load, "echo", "8080")
        try distro.waitInside(forPort: 8080)
        try distro.startInside(BuiltProgram.load, "udp-server", "8081")
        try distro.waitInside(forPort: 8081, kind: "-uln")
    }

    /// Sends a message to wsl-proxy from the containers' namespace, as the agent does.
    private func tell(removing: Bool) throws {
        let ports =
            #""80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"#
            + #""81/udp":[{"HostIp":"0.0.0.0","HostPort":"8081"}]"#
        let message = #"{"remove":\#(removing),"ports":{\#(ports)},"connectAddrs":null}"#
        let send = "printf '%s\\n' '\(message)' | nc -NU /run/wsl-proxy.sock"
        #expect(comesTrue { succeeds { try distro.run("test", "-S", "/run/wsl-proxy.sock") } })
        try distro.runInside("sh", "-c", send)
    }

    /// Sends a request to the API from the containers' namespace, as the agent does.
    private func ask(_ path: String, _ body: String) throws {
        let gateway = "http://gateway.rancher-desktop.internal:80/services/forwarder"
        try distro.runInside("curl", "-sSf", "-d", body, "\(gateway)/\(path)")
    }

    private func carriesStream(_ run: (String...) throws -> String) -> Bool {
        succeeds { try run(BuiltProgram.load, "rr", "127.0.0.1", "8080", "0.05") }
    }

    private func carriesDatagrams(_ run: (String...) throws -> String, _ way: String) throws -> Bool
    {
        let told = try run(
            "timeout",
            "120",
            BuiltProgram.load,
            way,
            "127.0.0.1",
            "8081",
            "0.2",
            "5"
        )
        return told.contains(#""received": "#) && !told.contains(#""received": 0"#)
    }

    @Test func `the distribution reaches them through wsl-proxy and the veth pair`() throws {
        #expect(!carriesStream(distro.run))
        try tell(removing: false)
        #expect(comesTrue { carriesStream(distro.run) }, "\(distro.text(of: "wsl-proxy.log"))")
        for way in ["udp-up", "udp-down"] { #expect(try carriesDatagrams(distro.run, way)) }

        // Published ports do not depend on the stream to the host.
        distro.hostSwitch?.end(with: SIGKILL)
        #expect(carriesStream(distro.run))
        try tell(removing: true)
        #expect(comesTrue { !carriesStream(distro.run) })
    }

    @Test func `the host reaches them through its forwarding API`() throws {
        #expect(!carriesStream(distro.host.run))
        for (transport, port) in [("tcp", 8080), ("udp", 8081)] {
            let address = #""local":"127.0.0.1:\#(port)","remote":"192.168.127.2:\#(port)""#
            try ask("expose", #"{\#(address),"protocol":"\#(transport)"}"#)
        }
        #expect(carriesStream(distro.host.run))
        for way in ["udp-up", "udp-down"] { #expect(try carriesDatagrams(distro.host.run, way)) }
        try ask("unexpose", #"{"local":"127.0.0.1:8080","protocol":"tcp"}"#)
        #expect(!carriesStream(distro.host.run))
    }
}
