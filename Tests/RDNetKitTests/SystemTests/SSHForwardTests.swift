import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "SSH forward",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SSHForwardTests {
    private typealias Scene = SSHForwardScene

    @Test func `a program asks and is answered through the host's socket`() throws {
        let scene = try Scene()
        try scene.startAll()
        let curl = try RunningProgram(
            ["curl", "-sS", "--unix-socket", scene.socket, "http://d/_ping"],
            output: URL(fileURLWithPath: scene.directory.file("answer"))
        )
        let server = try scene.accept()
        #expect(comesTrue { server.text.hasSuffix("\r\n\r\n") })
        #expect(server.text.hasPrefix("GET /_ping HTTP/1.1\r\n"))
        try server.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK".utf8)
        #expect(comesTrue { !curl.isRunning })
        #expect(scene.text("answer") == "OK")
    }

    @Test func `each side's end is the other's, and nothing more`() throws {
        let scene = try Scene()
        try scene.startAll()
        for clientEndsFirst in [true, false] {
            let client = try scene.connect()
            let server = try scene.accept()
            let (first, last) = clientEndsFirst ? (client, server) : (server, client)
            try first.write("question".utf8)
            first.endSending()
            #expect(scene.reads(last, "question"))
            #expect(scene.readsEnd(last))
            try last.write("answer".utf8)
            #expect(scene.reads(first, "answer"))
            #expect(!first.hasEnded)
            last.endSending()
            #expect(scene.readsEnd(first))
        }
    }

    @Test func `several clients at once get every octet, beside one that never reads`() throws {
        let scene = try Scene()
        try scene.startAll()
        let lazy = try scene.connect()
        let generous = try scene.accept()
        var random = SeededRandom(seed: 7)
        let stream = (0..<1 << 20).flatMap { _ in
            withUnsafeBytes(of: random.next()) { Array($0) }
        }
        var offset = 0
        // Writes until every buffer on the way is full.
        var idle = 0
        while idle < 20 {
            let sent = try generous.write(stream[(offset % stream.count)...].prefix(65_536))
            offset += sent
            idle = sent == 0 ? idle + 1 : 0
            if sent == 0 { usleep(20_000) }
        }
        let pairs = try (0..<3).map { _ in (try scene.connect(), try scene.accept()) }
        var directions = pairs.flatMap { [($0.0, $0.1, 0), ($0.1, $0.0, 0)] }
        let areWhole = try comesTrue {
            for index in directions.indices {
                let (source, sink, sent) = directions[index]
                sink.read(atMost: 1 << 20)
                guard sent < stream.count else { continue }
                directions[index].2 += try source.write(stream[sent...].prefix(65_536))
                if directions[index].2 == stream.count { source.endSending() }
            }
            return directions.allSatisfy { $0.1.hasEnded }
        }
        #expect(areWhole)
        for (_, sink, _) in directions { expectBytes(sink.received, equals: stream) }
        // The connection whose peer did not read has lost nothing.
        generous.endSending()
        let isThrough = comesTrue {
            lazy.read()
            return lazy.hasEnded
        }
        #expect(isThrough)
        #expect(lazy.received.count == offset)
        let isSame = lazy.received.indices.allSatisfy {
            lazy.received[$0] == stream[$0 % stream.count]
        }
        #expect(isSame)
    }

    @Test func `names that ssh would interpret lead to where they say`() throws {
        let scene = try Scene(key: "the %h: \"key\" ${HOME}", destination: "to: %h \\ $x [a]")
        try scene.startAll()
        let client = try scene.connect()
        try client.write("through".utf8)
        #expect(scene.reads(try scene.accept(), "through"))
    }

    @Test func `clients wait until the guest has an SSH server, and whenever it has none`() throws {
        let scene = try Scene()
        try scene.start(scene.forward())
        try scene.waitForSocket()
        let early = try scene.connect()
        try early.write("early".utf8)
        try scene.startGuest()
        #expect(comesTrue { !scene.lines(with: "ssh forward is down").isEmpty })
        try scene.startSSHServer()
        let first = try scene.accept()
        #expect(scene.reads(first, "early"))

        let failures = scene.lines(with: "ssh forward is down").count
        scene.endSSHServer()
        #expect(scene.readsEnd(early))
        #expect(comesTrue { scene.lines(with: "ssh forward is down").count > failures })
        let late = try scene.connect()
        try late.write("late".utf8)
        try scene.startSSHServer()
        #expect(scene.reads(try scene.accept(), "late"))
        #expect(scene.lines(with: "level=error").isEmpty)
    }

    @Test func `a socket that the guest does not have ends the client, and is said`() throws {
        let scene = try Scene()
        try scene.startAll()
        try FileManager.default.removeItem(atPath: scene.destination)
        #expect(scene.readsEnd(try scene.connect()))
        #expect(
            comesTrue { scene.lines(with: "open failed").contains { $0.contains("level=warning") } }
        )
        #expect(scene.proxy?.isRunning == true)
    }

    @Test func `the file's forwards are made as well`() throws {
        let scene = try Scene()
        let file = """
            forwards:
            - {socket: "\(scene.socket)", dest: "\(scene.destination)", user: root, identity: "\(scene.key)"}
            """
        let path = scene.directory.file("gvproxy.yaml")
        try Data(file.utf8).write(to: URL(fileURLWithPath: path))
        try scene.startAll(["-config", path])
        let client = try scene.connect()
        try client.write("through".utf8)
        #expect(scene.reads(try scene.accept(), "through"))
        // These forwards do not appear in the API.
        let listed = try scene.ask("/services/forwarder/all", "")
        #expect(!listed.contains("unix"))
    }

    @Test func `the API makes and removes such a forward`() throws {
        let scene = try Scene()
        try scene.startAll()
        let local = scene.directory.file("other")
        let remote = "ssh-tunnel://root@192.168.127.2:22\(scene.destination)?key=\(scene.key)"
        let body = #"{"local":"\#(local)","remote":"\#(remote)","protocol":"unix"}"#
        #expect(try scene.ask("/services/forwarder/expose", body) == "")
        #expect(
            try scene.ask("/services/forwarder/expose", body)
                == "proxy already running for unix on \(local)\n"
        )
        #expect(try scene.ask("/services/forwarder/all", "").contains(remote))
        try scene.waitForForward(times: 2)
        let curl = try RunningProgram(["curl", "-sS", "--unix-socket", local, "http://d/"])
        let server = try scene.accept()
        #expect(curl.isRunning)
        #expect(comesTrue { server.text.hasPrefix("GET / HTTP/1.1\r\n") })
        #expect(scene.processes(in: scene.host, named: "ssh").count == 2)

        let name = #"{"local":"\#(local)","protocol":"unix"}"#
        #expect(try scene.ask("/services/forwarder/unexpose", name) == "")
        #expect(try scene.ask("/services/forwarder/unexpose", name) == "proxy not found\n")
        #expect(!FileManager.default.fileExists(atPath: local))
        #expect(scene.readsEnd(server))
        #expect(scene.processes(in: scene.host, named: "ssh").count == 1)
        #expect(scene.privateFiles.count == 1)
    }
}
