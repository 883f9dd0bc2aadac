import Foundation
import Testing

@testable import RDNetKit

@Suite("HTTP server and curl")
struct CurlTests {
    private let fixture: APIFixture
    private var loop: EventLoop { fixture.loop }
    private var directory: TemporaryDirectory { fixture.directory }
    private let server: HTTPServer
    private let listeners: [StreamListener]
    private let counters = ListenerCounters()
    private let url: String

    init() throws {
        let fixture = try APIFixture()
        let loop = fixture.loop
        let echo = HTTPRoute("/echo") { request, _ in .content(request.body) }
        let server = HTTPServer(
            loop: loop,
            routes: fixture.hostRoutes + [echo],
            admitting: HTTPAdmission()
        )
        let tcp = try StreamListener(
            try ListeningSocket.tcp(Endpoint(address: .loopbackIPv4, port: 0)),
            loop: loop,
            counters: counters
        ) { server.accept($0, from: $1) }
        let path = fixture.directory.file("api.sock")
        let unix = try StreamListener(
            try ListeningSocket.unix(path: path),
            path: path,
            loop: loop
        ) { server.accept($0, from: $1) }
        url = "http://\(try #require(tcp.endpoint))"
        self.fixture = fixture
        self.server = server
        listeners = [tcp, unix]
    }

    @Test("lists forwards on TCP and on a unix socket", arguments: [false, true])
    func list(onUnixSocket: Bool) throws {
        let socket = onUnixSocket ? ["--unix-socket", directory.path + "/api.sock"] : []
        let output = try curl(socket + ["\(url)/services/forwarder/all"])
        #expect(output == "[]\n200")
    }

    @Test func `waits for the word before a body, and gets it at once`() throws {
        let body = String(repeating: "0123456789", count: 500)
        let fields = ["-H", "Expect: 100-continue", "--expect100-timeout", "30"]
        #expect(try curl(fields + ["--data-binary", body, "\(url)/echo"]) == body + "200")
    }

    @Test func `uploads in chunks`() throws {
        let body = String(repeating: "0123456789", count: 30_000)
        let path = directory.path + "/upload"
        try body.write(toFile: path, atomically: false, encoding: .utf8)
        let arguments = ["-H", "Transfer-Encoding: chunked", "-T", path, "\(url)/echo"]
        #expect(try curl(arguments) == body + "200")
    }

    @Test func `follows a redirect, and asks twice on one connection`() throws {
        let twice = ["--path-as-is", "-L", "\(url)//services/dns/all", "\(url)/services/dns/all"]
        #expect(try curl(twice) == "[]\n200[]\n200")
        #expect(counters.accepted == 1)
    }

    @Test func `exposes and sees what is wrong`() throws {
        let body = #"{"local":"127.0.0.1:0","remote":"example.com:80"}"#
        let output = try curl(["-d", body, "\(url)/services/forwarder/expose"])
        #expect(output == "invalid remote addr: example.com is not an IP address\n500")
    }

    /// Returns curl's output: each response, followed by its status.
    private func curl(_ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        process.arguments =
            ["-q", "-s", "--noproxy", "*", "-m", "120", "-w", "%{http_code}"] + arguments
        let path = directory.path + "/file"
        try #require(FileManager.default.createFile(atPath: path, contents: nil))
        let output = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        process.standardOutput = output
        try process.start()
        try loop.turn { !process.isRunning }
        #expect(process.terminationStatus == 0)
        server.close()
        return try String(contentsOfFile: path, encoding: .utf8)
    }
}
