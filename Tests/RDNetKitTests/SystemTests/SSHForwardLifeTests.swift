import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "SSH forward's life",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct SSHForwardLifeTests {
    private typealias Scene = SSHForwardScene

    @Test("nothing is left when the program has ended", arguments: [SIGTERM, SIGINT])
    func nothingIsLeft(signal: Int32) throws {
        let scene = try Scene()
        do {
            // A stale socket: nothing listens on it.
            let stale = try ListeningSocket.unix(path: scene.socket)
            _ = consume stale
        }
        try scene.startAll()
        var status = stat()
        #expect(lstat(scene.socket, &status) == 0)
        #expect(status.st_mode & S_IFMT == S_IFSOCK && status.st_mode & 0o777 == 0o600)
        #expect(scene.processes(in: scene.host, named: "ssh").count == 1)
        let client = try scene.connect()
        _ = try scene.accept()
        #expect(try #require(scene.proxy).end(with: signal))
        #expect(scene.proxy?.status == 0)
        #expect(scene.processes(in: scene.host, named: "ssh").isEmpty)
        #expect(scene.privateFiles.isEmpty)
        #expect(lstat(scene.socket, &status) == -1)
        #expect(scene.readsEnd(client))
    }

    @Test func `ssh ends with a program that was killed`() throws {
        let scene = try Scene()
        try scene.startAll()
        #expect(scene.processes(in: scene.host, named: "ssh").count == 1)
        scene.proxy?.end(with: SIGKILL)
        #expect(comesTrue { scene.processes(in: scene.host, named: "ssh").isEmpty })
    }

    @Test func `an ssh that dies is started again`() throws {
        let scene = try Scene()
        try scene.startAll()
        let ssh = try #require(scene.processes(in: scene.host, named: "ssh").first)
        kill(ssh, SIGKILL)
        #expect(comesTrue { !scene.processes(in: scene.host, named: "ssh").contains(ssh) })
        // gvproxy may not have noticed yet.
        let client = try scene.connect()
        try client.write("through".utf8)
        try scene.waitForForward(times: 2)
        #expect(scene.lines(with: "killed by signal 9").count == 1)
        #expect(scene.reads(try scene.accept(), "through"))
        #expect(scene.privateFiles.count == 1)
    }

    @Test func `a key that the guest refuses is said in one sentence, and tried again`() throws {
        let scene = try Scene()
        try scene.start(scene.forward(identity: scene.directory.file("other-key")))
        try scene.waitForAPI()
        try scene.startSSHServer()
        try scene.startGuest()
        let refusal = "Permission denied (publickey"
        #expect(comesTrue { scene.lines(with: refusal).count >= 4 }, "\(scene.log)")
        let warnings = scene.lines(with: refusal).filter { $0.contains("level=warning") }
        #expect(warnings.count == 1)
        #expect(warnings.first?.contains(scene.socket) == true)
        try scene.allow(scene.directory.file("other-key"))
        try scene.waitForForward()
    }

    @Test func `without ssh the program says so once and goes on`() throws {
        let scene = try Scene()
        try scene.start(scene.forward(), environment: ["PATH=/nowhere"])
        try scene.waitForAPI()
        let sentence = #"PATH has no program \"ssh\""#
        #expect(comesTrue { scene.lines(with: sentence).count >= 3 }, "\(scene.log)")
        #expect(scene.lines(with: "level=warning").count == 1)
        #expect(try scene.ask("/services/forwarder/all", "").contains("127.0.0.1:2222"))
        #expect(try #require(scene.proxy).end())
        #expect(scene.proxy?.status == 0)
    }

    @Test func `a key that is gone by now is named, and does not end the program`() throws {
        let scene = try Scene()
        try scene.startAll()
        let moved = scene.key + ".moved"
        try run("mv", scene.key, moved)
        kill(try #require(scene.processes(in: scene.host, named: "ssh").first), SIGKILL)
        #expect(comesTrue { !scene.lines(with: "\(scene.key): No such file").isEmpty })
        try run("mv", moved, scene.key)
        try scene.waitForForward(times: 2)
        #expect(scene.privateFiles.count == 1)
    }

    @Test func `a guest that takes the connection and says nothing does not end the program`()
        throws
    {
        let scene = try Scene()
        try scene.start(scene.forward())
        try scene.waitForAPI()
        try scene.startGuest()
        let silent = try RunningProgram(
            ["nc", "-lk", "192.168.127.2", "22"],
            in: scene.guest
        )
        defer { silent.end(with: SIGKILL) }
        #expect(comesTrue { !scene.lines(with: "timed out").isEmpty }, "\(scene.log)")
        #expect(try #require(scene.proxy).end())
        #expect(scene.privateFiles.isEmpty)
    }

    @Test(
        "a forward that cannot be is one sentence and exit 1",
        arguments: [
            ("/nowhere/socket", "/run/x.sock", "bind: no such file or directory"),
            ("SOCKET", "x.sock", "remote uri must contain a path to a socket file"),
        ]
    )
    func impossible(socket: String, destination: String, sentence: String) throws {
        let scene = try Scene()
        let path = socket == "SOCKET" ? scene.socket : socket
        try scene.start([
            "-forward-sock", path, "-forward-dest", destination, "-forward-user", "root",
            "-forward-identity", scene.key,
        ])
        #expect(comesTrue { scene.proxy?.isRunning == false })
        #expect(scene.proxy?.status == 1)
        #expect(
            scene.text("output").contains("cannot add socket forward \(path): "),
            "\(scene.text("output"))"
        )
        #expect(scene.text("output").contains(sentence))
        #expect(!FileManager.default.fileExists(atPath: scene.directory.file("api")))
    }
}
