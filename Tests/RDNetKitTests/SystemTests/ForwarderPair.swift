import Foundation
import Testing

/// Both sides of `port-forwarder` in one namespace, connected by a unix socket.
final class ForwarderPair {
    let directory = TemporaryDirectory()
    let namespace: NetworkNamespace
    private(set) var host: RunningProgram?
    private(set) var guest: RunningProgram?

    private let guestConnects: Bool

    /// Creates the namespace, without programs.
    ///
    /// - Parameter guestConnects: Whether the VM's side opens the data connection.
    /// - Throws: If there is no namespace.
    init(guestConnects: Bool = false) throws {
        self.guestConnects = guestConnects
        namespace = try NetworkNamespace()
        try namespace.run("ip", "link", "set", "lo", "up")
    }

    /// Creates a pair, and waits until it is connected.
    static func connected() throws -> ForwarderPair {
        let pair = try ForwarderPair()
        try pair.startGuest()
        try pair.startHost()
        try #require(comesTrue { pair.directory.text(of: "host").contains("VM connected") })
        return pair
    }

    deinit {
        for program in [host, guest] { program?.end(with: SIGKILL) }
    }

    func startGuest() throws {
        let option = guestConnects ? "-data-connect" : "-data-listen"
        guest = try start([option, directory.file("data")], "guest")
        let isWaiting = comesTrue { directory.text(of: "guest").contains("waiting for the data") }
        try #require(isWaiting, "\(directory.text(of: "guest"))")
    }

    func startHost(_ options: [String] = []) throws {
        let option = guestConnects ? "-data-listen" : "-data-connect"
        let words = ["-control-listen", directory.file("control"), option, directory.file("data")]
        host = try start(words + options, "host")
        let isListening = comesTrue {
            FileManager.default.fileExists(atPath: directory.file("control"))
        }
        try #require(isListening, "\(directory.text(of: "host"))")
    }

    private func start(_ words: [String], _ log: String) throws -> RunningProgram {
        try RunningProgram(
            [BuiltProgram.rdnet, "port-forwarder"] + words,
            in: namespace,
            output: URL(fileURLWithPath: directory.file(log))
        )
    }

    /// Runs a script in the namespace; `@` stands for the directory.
    @discardableResult
    func shell(_ script: String) throws -> String {
        let text = script.replacingOccurrences(of: "@", with: directory.path)
        return try namespace.run("bash", "-c", text)
    }

    /// Starts a server in the namespace; `@` stands for the directory.
    func serve(_ words: String..., until isReady: String) throws -> RunningProgram {
        let server = try RunningProgram(
            words.map { $0.replacingOccurrences(of: "@", with: directory.path) },
            in: namespace,
            output: URL(fileURLWithPath: directory.file("servers"))
        )
        try #require(try comesTrue { try shell("ss -Hltunx").contains(isReady) })
        return server
    }

    /// Starts an echo server in the namespace.
    func serveEcho(_ port: Int) throws -> RunningProgram {
        try serve(
            "socat",
            "-t60",
            "TCP-LISTEN:\(port),fork,reuseaddr,backlog=200",
            "EXEC:cat",
            until: ":\(port)"
        )
    }

    /// Sends a request to the API and returns the status and the body.
    func request(
        _ method: String,
        _ path: String,
        _ body: String = "",
        type: String = "application/json"
    ) throws -> String {
        let text = body.replacingOccurrences(of: "@", with: directory.path)
        let words = [
            "curl", "-s", "--max-time", "20", "--unix-socket", directory.file("control"), "-X",
            method, "-w", "%{http_code}", "http://unix/forwards/\(path)",
        ]
        let data = text.isEmpty ? [] : ["-H", "Content-Type: \(type)", "-d", text]
        return try run(words + data)
    }

    /// Exposes a port of the VM's loopback address.
    func expose(
        _ outside: Int,
        to inside: Int,
        over transport: String = "tcp",
        at address: String = "127.0.0.1"
    ) throws {
        let body = """
            {"proto":"\(transport)","out_ip":"\(address)","out_port":\(outside),\
            "in_ip":"127.0.0.1","in_port":\(inside)}
            """
        #expect(try request("PUT", "expose/port", body) == "200")
    }
}
