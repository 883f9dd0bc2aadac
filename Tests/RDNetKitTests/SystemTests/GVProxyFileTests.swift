import Foundation
import Testing

@testable import RDNetKit

/// A listener for gvproxy's notifications.
private final class NotificationListener {
    private let descriptor: OwnedDescriptor
    private(set) var lines: [String] = []

    init(_ path: String) throws {
        descriptor = try ListeningSocket.unix(path: path)
    }

    /// Waits until this many notifications have arrived.
    func wait(for count: Int) throws {
        let hasCome = try comesTrue {
            while let accepted = try Socket.accept(descriptor) {
                let peer = HostPeer(try accepted.descriptor.duplicate())
                let hasEnded = comesTrue {
                    peer.read()
                    return peer.hasEnded
                }
                #expect(hasEnded)
                lines.append(peer.text)
            }
            return lines.count >= count
        }
        #expect(hasCome, "\(lines)")
    }
}

@Suite(
    "gvproxy's file and notifications",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GVProxyFileTests {
    private static let file = """
        listen: ["unix://@/network.sock"]   # more than one may be
        services: "tcp://127.0.0.1:7000"
        log-level: DEBUG
        log-file: '@/gvproxy.log'
        pid-file: @/pid
        notification: @/events
        interfaces: {vfkit: "unixgram://@/vfkit.sock", bess: "unixpacket://@/bess.sock"}
        unknown: {anything: [1, 2]}
        stack:
          mtu: 4000
          capture-file: @/capture.pcap
          subnet: 10.1.0.0/24
          gatewayIP: 10.1.0.5
          deviceIP: 10.1.0.6
          hostIP: 10.1.0.7
          gatewayMacAddress: 02:00:00:00:00:05
          dns:
            - name: my.zone.
              defaultIP: 10.1.9.9
              records:
                - {name: a, ip: 10.1.0.9}
                - {regexp: "^b[0-9]$", ip: 10.1.0.10}
          dnsSearchDomains: [my.zone, other.test]
          forwards:
            "127.0.0.1:2022": 10.1.0.77:22
            udp:127.0.0.1:5353: 10.1.0.77:53
          nat: {10.1.0.7: 127.0.0.1, 10.9.9.9: 127.0.0.2}
          gatewayVirtualIPs: [10.1.0.7]
          dhcpStaticLeases: {10.1.0.77: "52:54:00:00:00:77"}
        """

    @Test func `everything in the file takes effect on a real guest`() throws {
        let scene = try GVProxyScene()
        try scene.write("gvproxy.yaml", Self.file)
        let events = try NotificationListener(scene.directory.file("events"))
        let guest = try NetworkNamespace()
        let server = try RunningProgram([BuiltProgram.load, "echo", "9000"], in: scene.host)
        try scene.launch("-config", "@/gvproxy.yaml")
        try events.wait(for: 1)
        #expect(scene.text("gvproxy.log").contains("waiting for clients..."))
        #expect(scene.text("pid") == "\(try #require(scene.program?.number))")

        let forwarder = try RunningProgram(
            [
                BuiltProgram.rdnet, "gvforwarder", "-url",
                "unix://" + scene.directory.file("network.sock"), "-mac", "52:54:00:00:00:77",
                "-resolv-conf", scene.directory.file("resolv.conf"), "-logfile",
                scene.directory.file("log-forwarder"),
            ],
            in: guest
        )
        let hasAddress = try comesTrue {
            try guest.run("ip", "-4", "address").contains("inet 10.1.0.77/24")
        }
        #expect(hasAddress, "\(scene.text("gvproxy.log"))")
        #expect(try guest.run("ip", "link", "show", "tap0").contains("mtu 4000 "))
        #expect(try guest.run("ip", "route").contains("default via 10.1.0.5 "))
        #expect(scene.text("resolv.conf").contains("nameserver 10.1.0.5"))
        #expect(scene.text("resolv.conf").contains("search my.zone other.test"))
        for (name, address) in [("a", "10.1.0.9"), ("b7", "10.1.0.10"), ("else", "10.1.9.9")] {
            let answer = try guest.run("dig", "+short", "@10.1.0.5", "\(name).my.zone")
            #expect(answer == "\(address)\n")
        }
        for address in ["10.1.0.7", "10.9.9.9"] {
            let echo = [BuiltProgram.load, "rr", address, "9000", "0.1"]
            _ = try run(["timeout", "120", "ip", "netns", "exec", guest.name] + echo)
        }
        try guest.run("ping", "-c", "1", "-W", "5", "10.1.0.7")

        #expect(
            try scene.ask("/services/forwarder/all") == """
                [{"local":"127.0.0.1:2022","remote":"10.1.0.77:22","protocol":"tcp"},\
                {"local":"127.0.0.1:5353","remote":"10.1.0.77:53","protocol":"udp"}]

                """
        )
        #expect(try scene.ask("/services/dns/all").contains(#""Regexp":"^b[0-9]$""#))
        #expect(
            try scene.ask("/leases")
                == #"{"10.1.0.5":"02:00:00:00:00:05","10.1.0.77":"52:54:00:00:00:77"}"# + "\n"
        )
        #expect(try scene.ask("/cam") == #"{"52:54:00:00:00:77":0}"# + "\n")
        let url = "http://127.0.0.1:7000/leases"
        #expect(try scene.host.run("curl", "-s", "--max-time", "10", url).contains("10.1.0.77"))
        #expect(try !scene.host.run("ss", "-Hltn").contains(":2222"))

        forwarder.end()
        try events.wait(for: 3)
        scene.program?.end()
        // The guest end created the resolver file, so it removes it at exit.
        #expect(
            try scene.files() == ["capture.pcap", "events", "gvproxy.log", "gvproxy.yaml"]
        )
        #expect(
            try run("tcpdump", "-nr", scene.directory.file("capture.pcap")).contains("10.1.0.77")
        )
        let mac = #","mac_address":"52:54:00:00:00:77"}"#
        #expect(
            events.lines == [
                "{\"notification_type\":\"ready\"}\n",
                "{\"notification_type\":\"connection_established\"\(mac)\n",
                "{\"notification_type\":\"connection_closed\"\(mac)\n",
            ]
        )
        _ = server.number
    }

    @Test func `a machine's end is told before the program's`() throws {
        let scene = try GVProxyScene()
        let events = try NotificationListener(scene.directory.file("events"))
        try scene.start(
            "-notification",
            "unix://@/events",
            "-listen-qemu",
            "unix://@/qemu.sock",
            "-listen-vfkit",
            "unixgram://@/vfkit.sock"
        )
        let peer = try scene.connect("qemu.sock")
        for _ in 0..<2 { try peer.write([0, 0, 0, 42] + ARPQuestion.frame) }
        _ = try scene.read(peer, 128)
        peer.close()
        #expect(try scene.waitForEnd() == 0)
        try events.wait(for: 3)
        #expect(
            events.lines.map { $0.split(separator: "\"")[3] } == [
                "ready", "connection_established", "connection_closed",
            ]
        )
        #expect(try scene.files() == ["events"])
    }

    @Test func `a socket for machines that cannot be had is told, and nothing is ready`() throws {
        let scene = try GVProxyScene()
        let events = try NotificationListener(scene.directory.file("events"))
        let options = ["-notification", "unix://@/events", "-listen-qemu", "tcp://127.0.0.1:80"]
        let busy = try scene.host.enter {
            try ListeningSocket.tcp(Endpoint(address: .loopbackIPv4, port: 80))
        }
        #expect(try scene.fail(options + ["-listen", "unix://@/network.sock"]) == 1)
        try events.wait(for: 1)
        #expect(events.lines == ["{\"notification_type\":\"hypervisor_error\"}\n"])
        #expect(try scene.files() == ["events"])
        _ = busy.number
    }

    @Test func `without its listener the program goes on, with a warning`() throws {
        let scene = try GVProxyScene()
        try scene.start("-notification", "unix://@/events", "-listen-qemu", "unix://@/qemu.sock")
        let peer = try scene.connect("qemu.sock")
        try peer.write([0, 0, 0, 42] + ARPQuestion.frame)
        _ = try scene.read(peer, 64)
        #expect(scene.log.contains("level=warning msg=\"failed to send notification: "))
    }
}
