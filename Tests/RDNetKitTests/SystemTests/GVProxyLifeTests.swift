import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "gvproxy's beginning and end",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GVProxyLifeTests {
    @Test("signals end it at once, idle machines or not", arguments: [SIGTERM, SIGINT, SIGHUP])
    func signals(signal: Int32) throws {
        let scene = try GVProxyScene()
        try scene.start(
            "-listen",
            "unix://@/network.sock",
            "-services",
            "unix://@/services.sock",
            "-listen-qemu",
            "unix://@/qemu.sock",
            "-listen-vfkit",
            "unixgram://@/vfkit.sock",
            "-pid-file",
            "@/pid"
        )
        let idle = try ["qemu.sock", "network.sock"].map { try scene.connect($0) }
        try idle[0].write([0, 0, 0, 42] + ARPQuestion.frame)
        _ = try scene.read(idle[0], 64)
        let program = try #require(scene.program)
        #expect(program.end(with: signal))
        #expect(program.status == 0)
        #expect(try scene.files().isEmpty)
        #expect(scene.log.contains("gvproxy exiting: signal caught"))
        #expect(idle.count == 2)
    }

    @Test func `the usual machine's SSH is at the host's port 2222`() throws {
        let scene = try GVProxyScene()
        try scene.start("-listen", "unix://@/network.sock")
        #expect(
            try scene.ask("/services/forwarder/all")
                == #"[{"local":"127.0.0.1:2222","remote":"192.168.127.2:22","protocol":"tcp"}]"#
                + "\n"
        )
        #expect(
            try scene.ask("/leases")
                == #"{"192.168.127.1":"5a:94:ef:e4:0c:dd","192.168.127.2":"5a:94:ef:e4:0c:ee"}"#
                + "\n"
        )
        let listeners = try scene.host.run("ss", "-Hltn")
        #expect(listeners.contains("127.0.0.1:2222"))
    }

    @Test func `services have no connect, and are on as many addresses as they are given`() throws {
        let scene = try GVProxyScene()
        try scene.start(
            "-listen",
            "tcp://:7070",
            "-listen",
            "tcp://127.0.0.1:7071",
            "-services",
            "unix://@/network.sock",
            "-ssh-port=-1"
        )
        #expect(try scene.ask("/connect") == "404 page not found\n")
        #expect(try scene.ask("/services/forwarder/all") == "[]\n")
        for port in [7_070, 7_071] {
            let url = "http://127.0.0.1:\(port)/services/forwarder/all"
            #expect(try scene.host.run("curl", "-s", "--max-time", "10", url) == "[]\n")
        }
    }

    @Test(
        "sockets that a killed one left are replaced",
        arguments: [
            ["-listen-qemu", "unix://@/link"], ["-listen-bess", "unixpacket://@/link"],
            ["-listen-vfkit", "unixgram://@/link"], ["-listen-vpnkit", "unix://@/link"],
        ]
    )
    func staleSockets(link: [String]) throws {
        let scene = try GVProxyScene()
        for _ in 0..<2 {
            try scene.start("-listen", "unix://@/network.sock", "-ssh-port=-1", link[0], link[1])
            try #require(scene.program).end(with: SIGKILL)
            #expect(try scene.files().sorted() == ["link", "network.sock"])
        }
    }

    @Test func `the first of two machines disconnects, and the second stays`() throws {
        let scene = try GVProxyScene()
        try scene.start("-listen-qemu", "unix://@/qemu.sock", "-ssh-port=-1")
        let second: HostPeer
        do {
            let first = try scene.connect("qemu.sock")
            second = try scene.connect("qemu.sock")
            for (peer, question) in [(first, ARPQuestion.frame), (second, ARPQuestion.other)] {
                try peer.write([0, 0, 0, 42] + question)
                _ = try scene.read(peer, 64)
            }
        }
        #expect(comesTrue { scene.log.contains("link closed") || scene.log.contains("link ended") })
        // The second machine has also received the first one's broadcast.
        second.read()
        let before = second.received.count
        try second.write([0, 0, 0, 42] + ARPQuestion.other)
        let received = try scene.read(second, before + 64)
        ARPQuestion.expectAnswer(Array(received.suffix(60)), to: ARPQuestion.other)
        #expect(scene.program?.isRunning == true)
    }

    @Test func `a second one at the same addresses fails, and leaves the first alone`() throws {
        let scene = try GVProxyScene()
        let options = ["-listen", "unix://@/network.sock", "-pid-file", "@/pid", "-ssh-port", "-1"]
        try scene.start(
            options[0],
            options[1],
            options[2],
            options[3],
            options[4],
            options[5],
            "-listen-vpnkit",
            "tcp://127.0.0.1:1234"
        )
        let first = try #require(scene.program)
        #expect(try scene.fail(options + ["-listen-qemu", "unix://@/q"]) == 1)
        #expect(scene.log.contains("rdnet gvproxy: cannot listen: "), "\(scene.log)")
        #expect(scene.log.contains("Address already in use"))
        let other = ["-listen", "unix://@/other", "-services", "unix://@/third", "-ssh-port=-1"]
        #expect(try scene.fail(other + ["-listen-qemu", "tcp://127.0.0.1:1234"]) == 1)
        #expect(scene.log.contains("rdnet gvproxy: qemu listen error: "), "\(scene.log)")
        #expect(try scene.files() == ["network.sock", "pid"])
        #expect(scene.text("pid") == "\(first.number)")
        #expect(try scene.ask("/services/forwarder/all") == "[]\n")
        first.end()
        #expect(try scene.files().isEmpty)
    }

    @Test(
        "what cannot be had is one sentence, and nothing is left",
        arguments: [
            (["-pid-file", "@/none/pid"], "failed to create pidfile: "),
            (["-pcap", "@/none/pcap"], "cannot create capture file: "),
            (["-log-file", "@/none/log"], "unable to open log file @/none/log"),
            (
                ["-ssh-port", "2022"],
                "cannot add network services: listen tcp 127.0.0.1:2022: bind: "
            ),
            (["-listen", "unix://@/none/x"], "cannot listen: "),
        ]
    )
    func failures(options: [String], message: String) throws {
        let scene = try GVProxyScene()
        let busy = try scene.host.enter {
            try ListeningSocket.tcp(Endpoint(address: .loopbackIPv4, port: 2_022))
        }
        let usual = ["-listen", "unix://@/network.sock", "-listen-qemu", "unix://@/qemu.sock"]
        #expect(try scene.fail(usual + options) == 1)
        let expected = message.replacingOccurrences(of: "@", with: scene.directory.path)
        #expect(scene.log.contains("rdnet gvproxy: \(expected)"), "\(scene.log)")
        #expect(try scene.files().isEmpty)
        _ = busy.number
    }

    @Test func `-version and -h`() throws {
        let scene = try GVProxyScene()
        #expect(try scene.fail(["-version"]) == 0)
        #expect(scene.log == "gvproxy version v\(RoleRegistry.version)\n")
        #expect(try scene.fail(["-h"]) == 0)
        #expect(scene.log.hasPrefix("Usage: rdnet gvproxy"))
    }
}
