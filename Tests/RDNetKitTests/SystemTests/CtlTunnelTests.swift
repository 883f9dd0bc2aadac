import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// The test plays the tunnel's guest, on a socket in the guest's namespace.
@Suite(
    "ctl's tunnel",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
final class CtlTunnelTests {
    private static let length = 8 << 20

    private let world: SwitchedGuest
    private let listener: OwnedDescriptor
    private let payload: Data

    init() throws {
        // The API listens on TCP too, where a reset arrives as a reset.
        world = try SwitchedGuest(hostOptions: ["--api", "tcp://127.0.0.1:7777"])
        let port = Endpoint(address: .anyIPv4, port: 5_000)
        listener = try world.guest.enter { try ListeningSocket.tcp(port) }
        var random = SeededRandom(seed: 1)
        payload = Data((0..<Self.length / 8).flatMap { _ in withBytes(random.next()) })
    }

    private func tunnel(_ port: Int = 5_000, input: String? = nil) throws -> CtlProgram {
        let api = "unix://" + world.directory.file("api")
        return try CtlProgram(["tunnel", "192.168.127.2:\(port)"], api: api, input: input)
    }

    private func accept() throws -> HostPeer {
        var guest: HostPeer?
        let hasCome = try comesTrue {
            if let accepted = try Socket.accept(listener) {
                guest = HostPeer(try accepted.descriptor.duplicate())
            }
            return guest != nil
        }
        #expect(hasCome)
        return try #require(guest)
    }

    private func send(_ data: Data, from guest: HostPeer) throws {
        var rest = data[...]
        let isSent = try comesTrue {
            rest = rest.dropFirst(try guest.write(rest.prefix(1 << 18)))
            return rest.isEmpty
        }
        #expect(isSent)
    }

    @Test func `8 MiB each way, the input ending first`() throws {
        let file = world.directory.file("input")
        try payload.write(to: URL(fileURLWithPath: file))
        let program = try tunnel(input: file)
        let guest = try accept()
        let hasEnded = comesTrue {
            guest.read()
            return guest.hasEnded
        }
        #expect(hasEnded)
        expectBytes(guest.received, equals: payload)
        // The guest sends only after that.
        let answer = Data(payload.reversed())
        try send(answer, from: guest)
        guest.close()
        #expect(try program.end() == 0)
        #expect(program.output == answer && program.error.isEmpty)
    }

    @Test func `8 MiB from a guest that ends first, and then listens`() throws {
        let program = try tunnel()
        let guest = try accept()
        try send(payload, from: guest)
        guest.endSending()
        #expect(comesTrue { program.output.count == Self.length })
        #expect(program.output == payload)
        try program.write("the last word")
        #expect(comesTrue { guest.text == "the last word" })
        #expect(!guest.hasEnded)
        try program.endInput()
        let hasEnded = comesTrue {
            guest.read()
            return guest.hasEnded
        }
        #expect(hasEnded)
        #expect(try program.end() == 0)
    }

    @Test func `a guest that takes everything and says nothing is no failure`() throws {
        let program = try tunnel()
        try program.write("noted")
        try program.endInput()
        let guest = try accept()
        #expect(comesTrue { guest.text == "noted" && guest.hasEnded })
        guest.close()
        #expect(try program.end() == 0)
    }

    @Test func `a guest that cuts the connection is a failure, after all that it said`() throws {
        let program = try tunnel()
        let guest = try accept()
        try guest.write(Array("so far".utf8))
        #expect(comesTrue { program.text == "so far" })
        try program.write("go on")
        #expect(comesTrue { guest.text == "go on" })
        guest.reset()
        #expect(try program.end() == 1)
        #expect(program.error == "rdnet ctl: 192.168.127.2:5000: the connection was cut\n")
    }

    @Test("a guest that refuses is told in one sentence", arguments: [nil, "", "hello"])
    func refused(input: String?) throws {
        let program = try tunnel(9)
        if let input {
            try program.write(input)
            try program.endInput()
        }
        #expect(try program.end() == 1)
        #expect(program.error == "rdnet ctl: 192.168.127.2:9 refuses the connection\n")
        #expect(program.text.isEmpty)
    }

    @Test func `over TCP a guest that refuses is told as well`() throws {
        let error = try #require(throws: ProgramFailure.self) {
            try world.host.run(
                BuiltProgram.rdnet,
                "ctl",
                "--api",
                "tcp://127.0.0.1:7777",
                "tunnel",
                "192.168.127.2:9"
            )
        }
        #expect(error.description.contains("192.168.127.2:9 refuses the connection"))
    }

    @Test
    func `a guest that is not there is told, and one that has nothing to say is none of those`()
        throws
    {
        let absent = try CtlProgram(
            ["tunnel", "192.168.127.99:1"],
            api: "unix://" + world.directory.file("api")
        )
        let program = try tunnel()
        try program.endInput()
        try accept().close()
        #expect(try program.end() == 0)
        #expect(try absent.end() == 1)
        #expect(
            absent.error
                == "rdnet ctl: no guest has the address 192.168.127.99\n"
        )
    }
}

private func withBytes(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}
