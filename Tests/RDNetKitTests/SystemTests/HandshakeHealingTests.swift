import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "host-switch and the handshake",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct HandshakeHealingTests {
    private func isPublished(_ port: String, _ world: SwitchedGuest) -> Bool {
        do {
            return try world.load("rr", "127.0.0.1", port, "0.01", in: world.host)["count"] ?? 0 > 0
        } catch {
            return false
        }
    }

    @Test
    func `a guest that was killed is back within three seconds, lease and forwards as they were`()
        throws
    {
        let world = try SwitchedGuest(
            .handshake,
            hostOptions: ["-port-forward", "127.0.0.1:8080=192.168.127.2:7"]
        )
        try world.serveEcho(7, in: world.guest)
        try world.serveEcho(7, in: world.host)
        try world.askAPI(
            "/services/forwarder/expose",
            body: #"{"local":"127.0.0.1:8081","remote":"192.168.127.2:7"}"#
        )
        let (leases, forwards) = (
            try world.askAPI("/leases"), try world.askAPI("/services/forwarder/all")
        )
        #expect(isPublished("8080", world) && isPublished("8081", world))
        for _ in 1...3 {
            world.vmSwitch?.end(with: SIGKILL)
            try world.startVMSwitch()
            #expect(
                comesTrue { isPublished("8080", world) && world.reachesHost() },
                "\(world.logs)"
            )
            #expect(isPublished("8081", world))
            #expect(try world.askAPI("/leases") == leases)
            #expect(try world.askAPI("/services/forwarder/all") == forwards)
        }
    }

    @Test func `a host that was killed finds the guest again`() throws {
        let world = try SwitchedGuest(
            .handshake,
            hostOptions: ["-port-forward", "127.0.0.1:8080=192.168.127.2:7"]
        )
        try world.serveEcho(7, in: world.guest)
        #expect(isPublished("8080", world))
        for signal in [SIGKILL, SIGTERM] {
            world.hostSwitch?.end(with: signal)
            // host-switch closed the stream, so vm-switch has exited; network-setup starts over.
            #expect(comesTrue { world.vmSwitch?.isRunning == false })
            #expect(world.vmSwitch?.status == 1)
            try world.startHostSwitch()
            try world.startVMSwitch()
            #expect(comesTrue { isPublished("8080", world) }, "\(world.logs)")
        }
        #expect(try world.guest.run("ip", "-4", "address").contains("inet 192.168.127.2/24"))
    }

    @Test func `a stream that is cut in the middle of a frame is forgotten with it`() throws {
        let world = try SwitchedGuest(.handshake)
        world.vmSwitch?.end(with: SIGKILL)
        let question =
            [UInt8](repeating: 0xff, count: 6) + [0x52, 0x54, 0, 0x12, 0x34, 0x56]  // broadcast
            + [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]  // who has
            + [0x52, 0x54, 0, 0x12, 0x34, 0x56, 192, 168, 127, 9]
            + [0, 0, 0, 0, 0, 0, 192, 168, 127, 1]
        let cuts: [[UInt8]] = [[42], [42, 0], [42, 0] + question[..<20], [255, 255] + question]
        for cut in cuts {
            try world.shakeHands().write(contentsOf: Data(cut))
        }
        let stream = try world.shakeHands()
        try stream.write(contentsOf: Data([42, 0] + question))
        var answer = [UInt8](repeating: 0, count: 44)
        let hasCome = comesTrue {
            let count = recv(stream.fileDescriptor, &answer, answer.count, Int32(MSG_PEEK))
            return count == answer.count
        }
        #expect(hasCome, "\(world.logs)")
        #expect(Array(answer[..<8]) == [60, 0, 0x52, 0x54, 0, 0x12, 0x34, 0x56])
        #expect(Array(answer[30..<34]) == [192, 168, 127, 1])
    }

    @Test func `under Rancher's flags alone it forwards, captures and reports while it waits`()
        throws
    {
        let (namespace, directory) = (try NetworkNamespace(), TemporaryDirectory())
        try namespace.run("ip", "link", "set", "lo", "up")
        let output = URL(fileURLWithPath: directory.file("output"))
        // No real virtual machine next to this one would listen on this port.
        let program = try RunningProgram(
            [
                "env", "-C", directory.path, BuiltProgram.rdnet, "host-switch", "-debug", "-subnet",
                "192.168.127.0/24", "-port-forward", "127.0.0.1:6443=192.168.127.2:6443",
                "-vsock-handshake-port", "0xfffffffe", "-vsock-listen-port", "6657",
            ],
            in: namespace,
            output: output
        )
        let log = {
            String(
                decoding: FileManager.default.contents(atPath: output.path) ?? Data(),
                as: UTF8.self
            )
        }
        #expect(
            try comesTrue { try namespace.run("ss", "-Htln").contains("127.0.0.1:6443") },
            "\(log())"
        )
        #expect(comesTrue { log().contains("0 B sent to the VM, 0 B received from the VM") })
        let capture = FileManager.default.contents(atPath: directory.file("capture.pcap"))
        #expect(capture?.starts(with: [0xd4, 0xc3, 0xb2, 0xa1]) == true)
        #expect(program.isRunning)
        #expect(program.end())
        #expect(program.status == 1)
    }

    @Test func `gives up with one sentence and status 1 when nobody answers`() throws {
        let directory = TemporaryDirectory()
        let output = URL(fileURLWithPath: directory.file("output"))
        let program = try RunningProgram(
            [
                BuiltProgram.rdnet, "host-switch", "--vm", "unix://" + directory.file("vm"),
                "--handshake-timeout", "1", "--logfile", directory.file("log"),
            ],
            output: output
        )
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 1)
        let sentence = "no VM answered the handshake within 1 s"
        #expect(
            try String(contentsOf: output, encoding: .utf8) == "rdnet host-switch: \(sentence)\n"
        )
        let log = try String(contentsOfFile: directory.file("log"), encoding: .utf8)
        #expect(log.contains("level=fatal msg=\"\(sentence)\""))
    }
}
