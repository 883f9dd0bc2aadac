import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// A guest with a dynamic lease and a web server, whose host end keeps its state.
private final class KeptNetwork {
    static let address = "192.168.127.3"

    let directory = TemporaryDirectory()
    let scene: SwitchedGuest
    private let server: RunningProgram
    private var starts = 0

    init() throws {
        scene = try SwitchedGuest(
            address: Self.address,
            hostOptions: ["--state", directory.file("state")],
            guestOptions: ["--tap-mac-address", "52:54:00:12:34:56"]
        )
        try Data("hello".utf8).write(to: URL(fileURLWithPath: directory.file("page")))
        server = try RunningProgram(
            ["busybox", "httpd", "-f", "-h", directory.path, "-p", "80"],
            in: scene.guest
        )
    }

    deinit {
        server.end(with: SIGKILL)
    }

    var file: String { directory.file("state/state.json") }
    var state: String {
        String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
    }

    func expose(_ port: Int) throws {
        try scene.askAPI(
            "/services/forwarder/expose",
            body: #"{"local":"127.0.0.1:\#(port)","remote":"\#(Self.address):80"}"#
        )
    }

    func isOnDisk(_ port: Int) -> Bool {
        comesTrue { state.contains(#""127.0.0.1:\#(port)""#) }
    }

    func end(with signal: Int32) {
        scene.hostSwitch?.end(with: signal)
    }

    func restart() throws {
        try scene.startHostSwitch()
        let isThere = comesTrue {
            do {
                try scene.askAPI("/stats")
                return true
            } catch {
                return false
            }
        }
        try #require(isThere, "\(scene.logs)")
    }

    /// Leases an address as a DHCPv6 client of the guest: Solicit with rapid commit.
    func requestIPv6() throws {
        let message =
            "01000001" + DHCPv6Text.client("00030001525400123456") + DHCPv6Text.rapidCommit
            + DHCPv6Text.addresses()
        let octets = DHCPv6Text.octets(message)
        try scene.guest.enter {
            let socket = try Socket.mappingDatagram(isIPv4: false)
            let own = Endpoint(address: .anyIPv6, port: 546)
            try Socket.bind(socket, to: SocketAddress(own), named: "client")
            let link = if_nametoindex("eth0")
            let servers = Endpoint(address: .allDHCPv6Servers, port: 547, scope: link)
            _ = try octets.withUnsafeBytes {
                try Socket.sendDatagram(socket, $0, to: SocketAddress(servers))
            }
            var buffer = [UInt8](repeating: 0, count: 2048)
            let isAnswered = try comesTrue {
                try buffer.withUnsafeMutableBytes {
                    try Socket.receiveDatagram(socket, into: $0) != nil
                }
            }
            try #require(isAnswered && buffer[0] == 7)
        }
    }

    /// Whether the host gets the guest's page at a port.
    func serves(_ port: Int) throws -> Bool {
        try comesTrue {
            let page = "http://127.0.0.1:\(port)/page"
            return try scene.host.run("sh", "-c", "curl -s --max-time 2 \(page) || true") == "hello"
        }
    }
}

@Suite(
    "state of host-switch and gvproxy",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct StateTests {
    @Test("a lease and forwards survive a restart", arguments: [SIGKILL, SIGTERM])
    func survives(signal: Int32) throws {
        let network = try KeptNetwork()
        try network.expose(8080)
        try network.scene.guest.run(
            "curl",
            "-sSf",
            "-d",
            #"{"local":"127.0.0.1:8081","remote":":80"}"#,
            "http://192.168.127.1/services/forwarder/expose"
        )
        #expect(try network.serves(8080))
        if signal == SIGKILL { #expect(network.isOnDisk(8081)) }
        network.end(with: signal)
        try network.restart()
        #expect(try network.scene.askAPI("/leases").contains(KeptNetwork.address))
        #expect(try network.serves(8080), "\(network.scene.logs)")
        #expect(try network.serves(8081), "\(network.scene.logs)")
        // Each owner still sees its own.
        let guests = try network.scene.guest.run(
            "curl",
            "-sSf",
            "http://192.168.127.1/services/forwarder/all"
        )
        #expect(guests.contains("8081") && !guests.contains("8080"), "\(guests)")
        try network.scene.askAPI(
            "/services/forwarder/unexpose",
            body: #"{"local":"127.0.0.1:8080"}"#
        )
        network.end(with: SIGTERM)
        #expect(!network.state.contains("8080") && network.state.contains("8081"))
    }

    @Test func `a lease in IPv6 survives a restart`() throws {
        let network = try KeptNetwork()
        try network.requestIPv6()
        #expect(comesTrue { network.state.contains(#""address":"fdc0:a87f::3""#) })
        network.end(with: SIGTERM)
        try network.restart()
        network.end(with: SIGTERM)
        #expect(network.state.contains(#""address":"fdc0:a87f::3","mac":"52:54:00:12:34:56""#))
    }

    @Test func `a corrupt file is set aside, and the network starts`() throws {
        let network = try KeptNetwork()
        network.end(with: SIGTERM)
        try Data("{".utf8).write(to: URL(fileURLWithPath: network.file))
        try network.restart()
        #expect(network.scene.logs.contains("cannot read the state; starting without it"))
        #expect(FileManager.default.contents(atPath: network.file + ".bad") == Data("{".utf8))
        try network.expose(8080)
        #expect(network.isOnDisk(8080))
    }

    @Test func `a full disk is reported once, and the next change tries again`() throws {
        let network = try KeptNetwork()
        network.end(with: SIGTERM)
        let folder = network.directory.file("state")
        try run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", folder)
        defer {
            network.end(with: SIGKILL)
            do {
                try run("umount", "-l", folder)
            } catch {
                Issue.record(error)
            }
        }
        try network.restart()
        try run("sh", "-c", "head -c 65536 /dev/zero > \(folder)/filler || true")
        let message = "cannot write the state"
        try network.expose(8080)
        #expect(comesTrue { network.scene.logs.contains(message) })
        try network.expose(8081)
        #expect(try network.serves(8081))
        try run("rm", "\(folder)/filler")
        try network.expose(8082)
        #expect(network.isOnDisk(8082) && network.state.contains("8080"))
        #expect(network.scene.logs.components(separatedBy: message).count == 2)
    }

    @Test func `a forward whose port is taken waits for it`() throws {
        let network = try KeptNetwork()
        try network.expose(8080)
        network.end(with: SIGTERM)
        let thief = try RunningProgram(
            ["busybox", "httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/"],
            in: network.scene.host
        )
        #expect(
            try comesTrue {
                try network.scene.host.run("ss", "-Hltn", "sport", "=", ":8080").contains("8080")
            }
        )
        try network.restart()
        #expect(network.scene.logs.contains("forward waits for its address"))
        #expect(try network.scene.askAPI("/services/forwarder/all").contains("8080"))
        thief.end(with: SIGKILL)
        #expect(try network.serves(8080), "\(network.scene.logs)")
    }

    @Test func `a second process with the same directory is refused`() throws {
        let network = try KeptNetwork()
        let output = network.directory.file("output")
        let second = try RunningProgram(
            [
                BuiltProgram.rdnet, "gvproxy", "-state", network.directory.file("state"),
                "-listen", "unix://" + network.directory.file("other"), "-ssh-port", "-1",
            ],
            in: network.scene.host,
            output: URL(fileURLWithPath: output)
        )
        #expect(comesTrue { !second.isRunning } && second.status == 1)
        let text = try String(contentsOfFile: output, encoding: .utf8)
        #expect(text.contains("another process uses this directory"), "\(text)")
    }

    @Test func `gvproxy keeps what its API opened, and nothing of its file`() throws {
        let scene = try GVProxyScene()
        try scene.write(
            "config.yaml",
            "listen: [\"unix://@/network.sock\"]\nstate: \"@/state\"\n"
                + "stack:\n  forwards:\n    \"127.0.0.1:7001\": \"192.168.127.2:1\"\n"
        )
        let body = #"{"local":"127.0.0.1:7002","remote":"192.168.127.2:2"}"#
        try scene.start("-config", "@/config.yaml")
        #expect(try scene.ask("/services/forwarder/expose", body: body).isEmpty)
        scene.program?.end(with: SIGTERM)
        let state = scene.text("state/state.json")
        #expect(state.contains("7002") && !state.contains("7001"), "\(state)")
        try scene.start("-config", "@/config.yaml")
        let forwards = try scene.ask("/services/forwarder/all")
        #expect(forwards.contains("7001") && forwards.contains("7002"), "\(forwards)")
    }

    @Test func `the child that writes has a sandbox, and is the user of --user`() throws {
        let scene = try GVProxyScene()
        chmod(scene.directory.path, 0o777)
        try scene.start(
            "-state",
            "@/state",
            "-user",
            "nobody",
            "-listen",
            "unix://@/network.sock",
            "-ssh-port",
            "-1"
        )
        let number = try #require(scene.program?.number)
        let children = try ProcessStatus.children(of: number)
        #expect(children.count == 2)
        for child in children {
            try #require(try ProcessStatus.isInSandbox(child))
            try ProcessStatus.expect([], of: child)
        }
        let body = #"{"local":"127.0.0.1:7002","remote":"192.168.127.2:2"}"#
        #expect(try scene.ask("/services/forwarder/expose", body: body).isEmpty)
        #expect(comesTrue { scene.text("state/state.json").contains("7002") }, "\(scene.log)")
        #expect(try run("stat", "-c", "%U", scene.directory.file("state/state.json")) == "nobody\n")
    }
}
