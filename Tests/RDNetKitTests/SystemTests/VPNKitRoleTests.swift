import Foundation
import Testing

@testable import RDNetKit

/// `vpnkit` and a client with the messages of VPNKit's Go package, which RootlessKit uses.
@Suite("vpnkit serves RootlessKit")
final class VPNKitRoleTests {
    private let directory = TemporaryDirectory()
    private let program: RunningProgram
    private var path: String { directory.file("ethernet.sock") }

    init() throws {
        try FileManager.default.createSymbolicLink(
            atPath: directory.file("vpnkit"),
            withDestinationPath: BuiltProgram.rdnet
        )
        program = try RunningProgram(
            [
                directory.file("vpnkit"), "--ethernet", directory.file("ethernet.sock"), "--mtu",
                "1500",
            ],
            output: URL(fileURLWithPath: directory.file("log"))
        )
        try #require(comesTrue { FileManager.default.fileExists(atPath: path) })
    }

    deinit {
        program.end(with: SIGKILL)
    }

    /// A connected client.
    private final class Client {
        private static let headLength = 49 + 258
        private let peer: HostPeer

        init(at path: String, as machine: String) throws {
            let socket = try Socket.makeUnix()
            try #require(try Socket.connect(socket, to: #require(SocketAddress(path: path))))
            peer = HostPeer(socket)
            let commit = "0123456789012345678901234567890123456789"
            try peer.write(Array("VMN3T".utf8) + [22, 0, 0, 0] + Array(commit.utf8))
            try peer.write([1] + Array(machine.utf8) + [0, 0, 0, 0])
            try #require(comesTrue { read().count >= Self.headLength })
        }

        private func read() -> [UInt8] {
            peer.read()
            return peer.received
        }

        var mac: [UInt8] { Array(peer.received[54..<60]) }

        var hasEnded: Bool {
            peer.read()
            return peer.hasEnded
        }

        func send(_ frame: [UInt8]) throws {
            try peer.write([UInt8(frame.count & 255), UInt8(frame.count >> 8)] + frame)
        }

        /// Waits for a frame from another Ethernet address that a condition selects.
        func frame(_ condition: ([UInt8]) -> Bool) throws -> [UInt8] {
            var found: [UInt8]?
            try #require(
                comesTrue {
                    found = frames.first(where: condition)
                    return found != nil
                }
            )
            return try #require(found)
        }

        private var frames: [[UInt8]] {
            var (rest, frames) = (read().dropFirst(Self.headLength), [[UInt8]]())
            while let low = rest.first, rest.count >= 2 {
                let count = Int(low) | Int(rest[rest.startIndex + 1]) << 8
                guard rest.count >= 2 + count else { break }
                frames.append(Array(rest.dropFirst(2).prefix(count)))
                rest = rest.dropFirst(2 + count)
            }
            return frames
        }

        /// Asks for an address as the Go package does: with checksums of zero in both headers, and
        /// no more than a discovery.
        func lease() throws -> [UInt8] {
            let discovery =
                [1, 1, 6, 0] + [1, 0, 0, 0] + [0, 0, 0x80, 0]  // request; its number; broadcast
                + [UInt8](repeating: 0, count: 16) + mac + [UInt8](repeating: 0, count: 202)
                + [0x63, 0x82, 0x53, 0x63] + [0x35, 1, 1] + [0xff]  // cookie; DHCPDISCOVER; end
            let length = discovery.count
            let udp = [0, 68, 0, 67] + [UInt8((length + 8) >> 8), UInt8((length + 8) & 255), 0, 0]
            let ip =
                [0x45, 0] + [UInt8((length + 28) >> 8), UInt8((length + 28) & 255)]
                + [0x7f, 0x61, 0, 0, 0x40, 0x11, 0, 0] + [0, 0, 0, 0] + [255, 255, 255, 255]
            try send([UInt8](repeating: 255, count: 6) + mac + [8, 0] + ip + udp + discovery)
            // To port 68: the address is in the field yiaddr.
            let offer = try frame {
                $0.count > 62 && $0[12...13] == [8, 0] && $0[36...37] == [0, 68]
            }
            return Array(offer[58..<62])
        }
    }

    private static let machine = "fcdcbd6e-380c-4b2e-b3f1-c75d095a2171"

    @Test func `the child connects again as the parent did, and has its addresses`() throws {
        let parent = try Client(at: path, as: Self.machine)
        #expect(try parent.lease() == [192, 168, 65, 3])
        let child = try Client(at: path, as: Self.machine)
        #expect(child.mac == parent.mac)
        #expect(try child.lease() == [192, 168, 65, 3])
        #expect(comesTrue { parent.hasEnded })
        #expect(!child.hasEnded)
        // Who has 192.168.65.1?
        let request =
            [0, 1, 8, 0, 6, 4, 0, 1] + child.mac + [192, 168, 65, 3] + [0, 0, 0, 0, 0, 0]
            + [192, 168, 65, 1]
        try child.send([UInt8](repeating: 255, count: 6) + child.mac + [8, 6] + request)
        let answer = try child.frame { $0.count >= 42 && $0[12...13] == [8, 6] && $0[21] == 2 }
        #expect(answer[28..<32] == [192, 168, 65, 1])
    }

    @Test func `another machine has addresses of its own`() throws {
        let one = try Client(at: path, as: Self.machine)
        #expect(try one.lease() == [192, 168, 65, 3])
        let other = try Client(at: path, as: "00000000-0000-0000-0000-000000000001")
        #expect(other.mac != one.mac)
        #expect(try other.lease() == [192, 168, 65, 4])
        #expect(!one.hasEnded)
    }

    @Test(
        "what cannot be is one sentence",
        arguments: [
            ([], "--ethernet: expected the path"),
            (["--ethernet", "/tmp/x", "--host-ip", "10.0.0.1"], "--host-ip: \"10.0.0.1\""),
            (["--ethernet", "/tmp/x", "--port", "/tmp/y"], "unknown option --port"),
        ]
    )
    func mistakes(words: [String], sentence: String) throws {
        let log = directory.file("mistake")
        let program = try RunningProgram(
            [directory.file("vpnkit")] + words,
            output: URL(fileURLWithPath: log)
        )
        #expect(comesTrue { !program.isRunning } && program.status == 2)
        let output = directory.text(of: "mistake")
        #expect(output.contains(sentence) && output.split(separator: "\n").count == 1, "\(output)")
    }
}
