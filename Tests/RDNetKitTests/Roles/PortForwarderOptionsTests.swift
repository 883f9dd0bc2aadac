import Testing

@testable import RDNetKit

@Suite("port-forwarder's options")
struct PortForwarderOptionsTests {
    private let recorded = RecordedSurroundings()

    private func run(_ arguments: [String]) -> ExitCode {
        RoleRegistry.standard.run(["vpnkit-forwarder"] + arguments, recorded.surroundings)
    }

    @Test(
        "an address may have VPNKit's form or be a URL",
        arguments: [
            ("62373", "vsock://:62373"), ("3/62373", "vsock://3:62373"),
            ("/run/a.sock", "unix:///run/a.sock"), ("unix:///run/a.sock", "unix:///run/a.sock"),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:80"), ("vsock://2:4098", "vsock://2:4098"),
            ("fd://3", "fd://3"),
        ]
    )
    func address(text: String, meaning: String) {
        #expect(run(["-data-listen", text, "-print-config"]) == .success)
        #expect(recorded.output.contains("\ndata-listen = \(meaning) "))
    }

    @Test(
        "what cannot be is one sentence and status 2",
        arguments: [
            ([], "--data-listen"), (["-data-listen", "1", "-data-connect", "2"], "--data-listen"),
            (["-data-listen", "a.sock"], "--data-listen"),
            (["-data-listen", "1/2/3"], "--data-listen"),
            (["-data-listen", "stdio://"], "--data-listen"),
            (["-data-connect", "vpnkit+unix:///a"], "--data-connect"),
            (["-data-listen", "1", "-allowed-bind-addresses", "::1"], "--allowed-bind-addresses"),
            (
                ["-data-listen", "1", "-control-listen", "2", "-allowed-bind-addresses", "x"],
                "--allowed-bind-addresses"
            ),
            (["-data-listen", "1", "-nonsense"], "nonsense"),
        ]
    )
    func misuse(arguments: [String], option: String) {
        #expect(run(arguments) == .misuse)
        #expect(recorded.error.hasPrefix("rdnet port-forwarder: "))
        #expect(recorded.error.contains(option))
        #expect(
            recorded.error.hasSuffix("\n") && recorded.error.dropLast().allSatisfy { $0 != "\n" }
        )
    }
}
