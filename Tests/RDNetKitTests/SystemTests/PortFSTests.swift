import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// `port-fs` in its sandbox, with the test's own 9P client.
@Suite(
    "port-fs opens unix sockets",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
final class PortFSTests {
    private let host: NetworkNamespace
    private let directory = TemporaryDirectory()
    private var programs: [RunningProgram] = []

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        try run(["mkdir", folder])
    }

    deinit {
        for program in programs { program.end(with: SIGKILL) }
    }

    private var folder: String { directory.file("folder") }

    private func start(_ words: [String]) throws {
        programs.append(
            try RunningProgram(
                words,
                in: host,
                output: URL(fileURLWithPath: directory.file("log"))
            )
        )
    }

    private func client(_ options: [String] = []) throws -> PortFileClient {
        let socket = directory.file("port")
        try start([BuiltProgram.rdnet, "port-fs", "--listen", "unix://\(socket)"] + options)
        let log = directory.file("log")
        let isReady = comesTrue { directory.text(of: "log").contains("waiting for 9P clients") }
        try #require(isReady, "\(log)")
        return try PortFileClient(at: socket)
    }

    private func request(_ path: String, to target: String) -> String {
        "unix:\(Base64.encode(path.utf8)):\(target)"
    }

    private func request(_ path: String, toSocketAt target: String) -> String {
        request(path, to: "unix:\(Base64.encode(target.utf8))")
    }

    private func ask(_ path: String) -> String? {
        do {
            return try run(["bash", "-c", "echo hello | socat -t20 - UNIX:\(path)"])
        } catch {
            return nil
        }
    }

    @Test func `in the named folders, sockets lead to sockets and TCP ports`() throws {
        let client = try client(["--socket-folder", folder])
        try start(["socat", "-t60", "UNIX-LISTEN:\(folder)/server,fork", "EXEC:cat"])
        try start(["socat", "-t60", "TCP-LISTEN:9000,fork,reuseaddr", "EXEC:cat"])
        try #require(
            try comesTrue {
                try host.run("ss", "-Hltnx").contains(":9000")
                    && access("\(folder)/server", F_OK) == 0
            }
        )
        let requests = [
            request("\(folder)/one", toSocketAt: "\(folder)/server"),
            request("\(folder)/two", to: "tcp:127.0.0.1:9000"),
        ]
        for (fid, request) in zip(UInt32(1)..., requests) {
            #expect(try client.publish(request, as: "socket\(fid)", fid) == "OK \(request)\n")
        }
        #expect(ask("\(folder)/one") == "hello\n")
        #expect(ask("\(folder)/two") == "hello\n")
        #expect(try run(["stat", "-c", "%a", "\(folder)/one"]) == "600\n")

        #expect(
            try client.publish(requests[0], as: "again", 3)
                == "ERROR Bind for \(folder)/one failed: port is already allocated\n"
        )
        try client.clunk(1)
        #expect(access("\(folder)/one", F_OK) != 0)
        #expect(ask("\(folder)/two") == "hello\n")
        client.session.end()
    }

    @Test func `no other socket can be opened or reached`() throws {
        let client = try client(["--socket-folder", folder])
        let (inside, outside) = ("\(folder)/a", directory.file("b"))
        let reason = "ERROR permission denied: --socket-folder does not name the folder of /"
        let requests = [
            request(outside, toSocketAt: inside), request(inside, toSocketAt: outside),
            request("\(folder)/../b", toSocketAt: inside), request(folder, to: "tcp:127.0.0.1:1"),
        ]
        for (fid, request) in zip(UInt32(1)..., requests) {
            let answer = try client.publish(request, as: "refused\(fid)", fid)
            #expect(answer.hasPrefix(reason), "\(answer)")
        }
        #expect(
            try client.publish(request(inside, toSocketAt: inside), as: "itself", 9)
                == "ERROR permission denied: the socket would lead to itself\n"
        )
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }

    @Test func `without a named folder there are no unix sockets`() throws {
        let client = try client()
        let answer = try client.publish(
            request("\(folder)/a", to: "tcp:127.0.0.1:9000"),
            as: "socket",
            1
        )
        #expect(answer.hasPrefix("ERROR permission denied: --socket-folder does not name"))
    }
}
