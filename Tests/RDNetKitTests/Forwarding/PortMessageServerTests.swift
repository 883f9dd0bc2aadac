import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("socket for messages about published ports")
struct PortMessageServerTests {
    private let directory = TemporaryDirectory()
    private let clock = HandMovedClock()
    private let loop: EventLoop
    private let received = Received()

    private final class Received {
        var ports: [String] = []
    }

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
    }

    private var path: String { directory.file("proxy.sock") }

    private func serve() throws -> PortMessageServer {
        let received = received
        return try PortMessageServer(path: path, loop: loop, log: .discarding()) { message, _ in
            received.ports += message.bindings.map {
                (message.isRemoval ? "-" : "+") + $0.hostPort
            }
        }
    }

    /// Opens an agent's connection.
    private func connect() throws -> StreamClient {
        let socket = try Socket.makeUnix()
        _ = try Socket.connect(socket, to: try #require(SocketAddress(path: path)))
        return StreamClient(socket)
    }

    private func message(_ port: String, isRemoval: Bool = false) -> String {
        #"{"remove":\#(isRemoval),"ports":{"1/tcp":[{"HostIp":"","HostPort":"\#(port)"}]}}"#
    }

    /// Sends a message as the agent does: connect, send, close.
    private func say(_ text: String) throws {
        try connect().send(text + "\n")
    }

    @Test func `back to back messages count in the order of their connections`() throws {
        let server = try serve()
        var expected: [String] = []
        for number in 0..<500 {
            let isRemoval = number % 2 == 1
            try say(message("\(number)", isRemoval: isRemoval))
            expected.append((isRemoval ? "-" : "+") + "\(number)")
            // One message waits in the queue, or several.
            if number % 7 == 0 { try loop.turn(waitingAtMost: .zero) }
        }
        try loop.turn(until: { received.ports.count == expected.count })
        #expect(received.ports == expected)
        server.close()
    }

    @Test func `a long message comes before the short one behind it`() throws {
        let server = try serve()
        let long = try connect()
        let padding = String(repeating: " ", count: 150_000)
        let text = padding + message("1")
        #expect(try long.send(text) == text.utf8.count)
        try say(message("2"))
        try loop.turn(until: { received.ports.count == 2 })
        #expect(received.ports == ["+1", "+2"])
        server.close()
    }

    @Test func `the first object is enough: the client need not close`() throws {
        let server = try serve()
        let client = try connect()
        for octet in message("1").unicodeScalars {
            try client.send(String(octet))
            try loop.turn(waitingAtMost: .zero)
        }
        try loop.turn(until: { !received.ports.isEmpty })
        #expect(received.ports == ["+1"])
        #expect(client.receive() == ("", true))
        server.close()
    }

    @Test func `mute and slow clients delay nobody and are dropped after five seconds`() throws {
        let server = try serve()
        let mute = try connect()
        let slow = try connect()
        try slow.send(#"{"ports":"#)
        try loop.turn(waitingAtMost: .zero)
        try say(message("1"))
        try loop.turn(until: { !received.ports.isEmpty })
        #expect(received.ports == ["+1"])
        clock.advance(.seconds(4))
        try loop.turn(waitingAtMost: .zero)
        #expect(mute.receive() == ("", false))
        clock.advance(.milliseconds(1_010))
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
        #expect(mute.receive() == ("", true))
        #expect(slow.receive() == ("", true))
        server.close()
    }

    @Test func `however many mute clients there are, another is heard`() throws {
        let server = try serve()
        let mute = try (0..<200).map { _ in try connect() }
        try say(message("1"))
        try loop.turn(until: { !received.ports.isEmpty })
        #expect(received.ports == ["+1"])
        #expect(mute.count { $0.receive().ended } == 200 - PortMessageServer.maximumWaiting + 1)
        server.close()
    }

    @Test(
        "nonsense is dropped and nothing else",
        arguments: ["", "x", "[]", "{", #"{"remove":1}"#, "null", "\u{0}\u{0}", "{}}}}", #"""#]
    )
    func nonsense(text: String) throws {
        let server = try serve()
        try connect().send(text)
        try say(message("1"))
        try loop.turn(until: { !received.ports.isEmpty })
        #expect(received.ports == ["+1"])
        server.close()
    }

    @Test func `a message without end is dropped when it is longer than any`() throws {
        let server = try serve()
        let client = try connect()
        try client.send(#"{"x":""#)
        let block = String(repeating: "}", count: 65_536)
        var sent = 0
        for _ in 0..<1_000 {
            do {
                sent += try client.send(block)
            } catch {
                break
            }
            try loop.turn(waitingAtMost: .zero)
        }
        #expect(client.receive().ended)
        #expect(sent < 2 * PortMessageReader.maximumLength)
        server.close()
    }

    @Test func `the socket is its owner's alone, goes with the server, and is not stolen`() throws {
        let server = try serve()
        var status = stat()
        #expect(lstat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(throws: SystemError.self) { try serve() }
        // Checking for a listener sends nothing, and that does not count as a message.
        try say(message("1"))
        try loop.turn(until: { !received.ports.isEmpty })
        #expect(received.ports == ["+1"])
        server.close()
        #expect(lstat(path, &status) == -1)
    }
}
