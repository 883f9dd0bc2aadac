import Foundation
import Testing

/// A guest with its network, and the namespace that represents its host.
protocol GuestScene: AnyObject {
    var host: NetworkNamespace { get }
    var guest: NetworkNamespace { get }
    /// Programs that run until the test ends.
    var servers: [RunningProgram] { get set }
}

extension GuestScene {
    /// Runs a server until the test ends.
    func serve(_ arguments: String..., in namespace: NetworkNamespace) throws {
        servers.append(try RunningProgram(arguments, in: namespace))
    }

    /// Starts an echo server on a TCP port and waits until it listens.
    func serveEcho(_ port: Int, in namespace: NetworkNamespace) throws {
        try serve(BuiltProgram.load, "echo", String(port), in: namespace)
        try waitForListener(port, in: namespace)
    }

    func waitForListener(_ port: Int, in namespace: NetworkNamespace, kind: String = "-tln") throws
    {
        let isThere = try comesTrue {
            try namespace.run("ss", "-H", kind, "sport", "=", ":\(port)").contains(":\(port)")
        }
        try #require(isThere, "nobody listens on port \(port)")
    }

    /// Runs the load program in a namespace, for two minutes at most; returns its JSON.
    func load(_ arguments: String..., in namespace: NetworkNamespace) throws -> [String: Double] {
        try load(arguments, in: namespace)
    }

    /// Runs the load program in a namespace, for two minutes at most; returns its JSON.
    func load(_ arguments: [String], in namespace: NetworkNamespace) throws -> [String: Double] {
        let output = try run(
            ["timeout", "120", "ip", "netns", "exec", namespace.name, BuiltProgram.load] + arguments
        )
        let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
        return try #require(value as? [String: Double])
    }
}
