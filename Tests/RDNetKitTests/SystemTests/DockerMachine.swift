import Foundation
import Testing

/// A real dockerd in namespaces of its own, whose userland proxy is rdnet.
final class DockerMachine {
    let host: NetworkNamespace
    private let directory = TemporaryDirectory()
    private let daemon: RunningProgram

    /// Starts dockerd and imports its image `web`.
    ///
    /// - Parameters:
    ///   - namespace: Where; nil makes one.
    ///   - api: The value of `RDNET_API` for dockerd; nil for none.
    /// - Throws: If dockerd does not start.
    init(in namespace: NetworkNamespace? = nil, api: String? = nil) throws {
        host = try namespace ?? NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        let proxy = directory.file("port-proxy")
        try FileManager.default.createSymbolicLink(
            atPath: proxy,
            withDestinationPath: BuiltProgram.rdnet
        )
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Guests/dockerd.sh").path
        daemon = try RunningProgram(
            [
                "env", "RDNET_LOAD=\(BuiltProgram.load)", "RDNET_API=\(api ?? "")",
                "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
                "--propagation", "private", script, directory.path, proxy,
            ],
            in: host,
            output: URL(fileURLWithPath: directory.file("log"))
        )
        let isReady = comesTrue(within: .seconds(120)) {
            succeeds { try docker("version") }
        }
        try #require(isReady, "\(log)")
        try docker("import", directory.file("web.tar"), "web")
    }

    deinit {
        daemon.end(with: SIGKILL)
        removeControlGroups()
    }

    /// What dockerd and its programs wrote.
    var log: String {
        directory.text(of: "log")
    }

    /// Runs docker's client and returns its output.
    @discardableResult
    func docker(_ words: String...) throws -> String { try docker(words) }

    @discardableResult
    func docker(_ words: [String]) throws -> String {
        let socket = "DOCKER_HOST=unix://\(directory.path)/docker.sock"
        return try run(["ip", "netns", "exec", host.name, "env", socket, "docker"] + words)
    }

    /// The process IDs of the stubs and of the shared process, by their command lines.
    func proxies() throws -> [(process: Int32, command: String)] {
        try run(["ip", "netns", "pids", host.name]).split(separator: "\n").compactMap { line in
            guard let process = Int32(line),
                let octets = FileManager.default.contents(atPath: "/proc/\(process)/cmdline")
            else { return nil }
            let command = String(decoding: octets.map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
            return command.contains("port-proxy -") ? (process, command) : nil
        }
    }

    /// Kills dockerd itself; its containers go on.
    func killDaemon() throws {
        try run(["pkill", "-KILL", "-f", "dockerd .*\(directory.path)/dockerd.pid"])
    }

    /// Removes the containers' control groups, each of which is free once its processes have ended.
    private func removeControlGroups() {
        let name = directory.path.split(separator: "/").last ?? ""
        let areGone = comesTrue {
            succeeds {
                try run([
                    "bash", "-c",
                    """
                    for group in /sys/fs/cgroup/*/\(name) /sys/fs/cgroup/\(name); do
                        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
                    done
                    """,
                ])
            }
        }
        #expect(areGone)
    }
}
