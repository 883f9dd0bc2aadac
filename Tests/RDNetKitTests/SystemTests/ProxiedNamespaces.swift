import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

/// Two namespaces with a veth pair, as `network-setup` creates them, and `wsl-proxy` in the outer.
final class ProxiedNamespaces: GuestScene {
    static let inside = "192.168.143.1"
    static let outside = "192.168.143.2"

    /// The namespace of clients and the proxy.
    let host: NetworkNamespace
    /// The namespace of containers.
    let guest: NetworkNamespace
    let directory = TemporaryDirectory()
    var servers: [RunningProgram] = []
    private(set) var proxy: RunningProgram?
    private let program: [String]

    /// Creates the namespaces, starts the proxy and waits until agents can connect.
    init(
        program: [String] = [BuiltProgram.rdnet],
        options: [String] = [],
        hasIPv6: Bool = true
    ) throws {
        self.program = program
        host = try NetworkNamespace()
        guest = try NetworkNamespace()
        if !hasIPv6 { try host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1") }
        try host.run(
            "ip",
            "link",
            "add",
            "veth-rd-wsl",
            "type",
            "veth",
            "peer",
            "name",
            "veth-rd-ns",
            "netns",
            guest.name
        )
        let ends = [(host, "veth-rd-wsl", Self.outside), (guest, "veth-rd-ns", Self.inside)]
        for (namespace, name, address) in ends {
            try namespace.run("ip", "address", "add", "\(address)/24", "dev", name)
            for link in ["lo", name] { try namespace.run("ip", "link", "set", link, "up") }
        }
        try start(options)
    }

    deinit {
        proxy?.end(with: SIGKILL)
        for server in servers { server.end(with: SIGKILL) }
    }

    var socket: String { directory.file("proxy.sock") }
    var arguments: [String] {
        program + [
            "wsl-proxy", "-socketFile", socket, "-logfile", directory.file("proxy.log"),
        ]
    }

    /// Starts the proxy, possibly again.
    func start(_ options: [String] = []) throws {
        // Otherwise an earlier proxy's log would say that this one is ready.
        unlink(directory.file("proxy.log"))
        proxy = try RunningProgram(arguments + options, in: host)
        let isReady = comesTrue { log.contains("waiting for published ports") }
        try #require(isReady, "the proxy does not start: \(log)")
    }

    var log: String {
        directory.text(of: "proxy.log")
    }

    /// Sends one message, as an agent does.
    func say(_ text: String) throws {
        let descriptor = try Socket.makeUnix()
        let isConnected = try Socket.connect(
            descriptor,
            to: try #require(SocketAddress(path: socket))
        )
        #expect(isConnected)
        #expect(try Socket.send(descriptor, Array(text.utf8)) == text.utf8.count)
    }

    /// Adds or removes one binding.
    func say(
        _ verb: String,
        _ port: Int,
        _ address: String = "0.0.0.0",
        _ transport: String = "tcp"
    )
        throws
    {
        try say(
            """
            {"remove":\(verb == "remove"),"ports":{"\(port)/\(transport)":[{"HostIp":"\(address)",\
            "HostPort":"\(port)"}]},"connectAddrs":null}

            """
        )
    }

    /// Publishes a port and waits until the proxy listens.
    func publish(_ port: Int, _ address: String = "0.0.0.0", _ transport: String = "tcp") throws {
        try say("add", port, address, transport)
        try waitForListener(port, in: host, kind: transport == "tcp" ? "-tln" : "-uln")
    }

    /// Returns the local addresses of a port's listeners, from `ss`.
    func listeners(_ port: Int, _ kind: String = "-tln") throws -> [String] {
        try host.run("ss", "-H", kind, "sport", "=", ":\(port)").split(separator: "\n")
            .compactMap { line in line.split(separator: " ").first { $0.hasSuffix(":\(port)") } }
            .map { String($0.dropLast("\(port)".count + 1)) }.sorted()
    }

    /// Returns a listening socket in the inner namespace.
    func listen(_ port: UInt16) throws -> WaitingSocket {
        let address = try #require(IPAddress(Self.inside))
        return try guest.enter {
            WaitingSocket(try ListeningSocket.tcp(Endpoint(address: address, port: port)))
        }
    }
}
