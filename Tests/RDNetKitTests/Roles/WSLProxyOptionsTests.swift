import Testing

@testable import RDNetKit

@Suite("wsl-proxy's options")
struct WSLProxyOptionsTests {
    private func configuration(
        _ arguments: [String],
        environment: [String: String] = [:],
        file: String? = nil
    ) throws(ConfigurationError) -> Configuration<WSLProxySettings> {
        try Configuration(
            role: "wsl-proxy",
            options: Option.wslProxy,
            inputs: ConfigurationInputs(
                arguments: arguments,
                environment: { environment[$0] },
                readFile: { _ in file.map { .text($0) } ?? .absent },
                roles: RoleRegistry.standard.roles.map(\.name),
                networkKeys: RoleRegistry.standard.roles.flatMap(\.networkKeys)
            )
        )
    }

    /// The settings as text: socket, upstream, buffer, log file, level.
    private func text(_ settings: WSLProxySettings) -> String {
        [
            settings.socketFile, "\(settings.effectiveUpstream)", "\(settings.udpBuffer)",
            settings.common.logFile, settings.common.logLevel.name,
        ].joined(separator: " ")
    }

    private static let defaults =
        "/run/wsl-proxy.sock 192.168.143.1 8388608 /var/log/wsl-proxy.log info"

    @Test(
        "every command line that products use means what it does there",
        arguments: [
            ([], defaults),
            // Rancher Desktop since 1.18.
            (
                ["-debug=true", "-logfile=/logs/wsl-proxy.log"],
                "/run/wsl-proxy.sock 192.168.143.1 8388608 /logs/wsl-proxy.log debug"
            ),
            (["-debug=false"], defaults),
            // Rancher Desktop up to 1.18: the second word is an operand, which is ignored.
            (
                ["-debug", "false"],
                "/run/wsl-proxy.sock 192.168.143.1 8388608 /var/log/wsl-proxy.log debug"
            ),
            (
                ["-debug", "true", "-logfile", "/x"],
                "/run/wsl-proxy.sock 192.168.143.1 8388608 /var/log/wsl-proxy.log debug"
            ),
            // The unit of openSUSE's distribution.
            (["-debug"], "/run/wsl-proxy.sock 192.168.143.1 8388608 /var/log/wsl-proxy.log debug"),
            (
                ["--socketFile", "/s", "-upstreamAddress=10.0.0.1", "-udpBuffer", "0x1000"],
                "/s 10.0.0.1 4096 /var/log/wsl-proxy.log info"
            ),
            (
                ["-upstreamAddress", "fd00::1", "-logfile", ""],
                "/run/wsl-proxy.sock fd00::1 8388608  info"
            ),
            (
                ["-profile", "legacy"],
                "/run/wsl-proxy.sock 192.168.1.2 8388608 /var/log/wsl-proxy.log info"
            ),
            (["-profile=opensuse"], defaults), (["-profile=current"], defaults),
            (
                ["-profile", "legacy", "-upstreamAddress", "10.0.0.1"],
                "/run/wsl-proxy.sock 10.0.0.1 8388608 /var/log/wsl-proxy.log info"
            ),
            (["-profile", "legacy", "-profile", "current"], defaults),
            (["-upstreamAddress", ""], defaults), (["--", "-debug"], defaults),
        ] as [([String], String)]
    )
    func commandLines(arguments: [String], expected: String) throws {
        let settings = try configuration(arguments).settings
        #expect(text(settings) == expected)
    }

    @Test(
        "what is wrong is refused with its name and value",
        arguments: [
            (["-upstreamAddress", "host"], "--upstreamAddress: \"host\" is not valid"),
            (["-upstreamAddress=0.0.0.0"], "--upstreamAddress: \"0.0.0.0\" is not valid"),
            (["-upstreamAddress=224.0.0.1"], "--upstreamAddress: \"224.0.0.1\" is not valid"),
            (["-udpBuffer", "8M"], "--udpBuffer: \"8M\" is not valid"),
            (["-udpBuffer", "0"], "--udpBuffer: \"0\" is not valid"),
            (["-udpBuffer", "-1"], "--udpBuffer: \"-1\" is not valid"),
            (["-udpBuffer"], "--udpBuffer needs a value"),
            (["-socketFile", ""], "--socketFile: \"\" is not valid"),
            (["-socketfile", "/x"], "unknown option --socketfile; did you mean --socketFile?"),
            (["-profile", "1.16"], "--profile: \"1.16\" is not valid"),
            (["-debug=no"], "--debug: \"no\" is not valid"),
        ] as [([String], String)]
    )
    func refusals(arguments: [String], sentence: String) {
        let error = #expect(throws: ConfigurationError.self) { try configuration(arguments) }
        let description = error?.description ?? "nothing"
        #expect(description.hasPrefix(sentence), "\(description)")
    }

    @Test func `environment and file reach it, the profile from [network] too`() throws {
        let file = "[network]\nprofile = legacy\n[wsl-proxy]\nudpBuffer = 65536\n"
        let settings = try configuration(
            [],
            environment: ["RDNET_WSL_PROXY_SOCKETFILE": "/e"],
            file: file
        ).settings
        #expect(text(settings) == "/e 192.168.1.2 65536 /var/log/wsl-proxy.log info")
    }
}
