import Testing

@testable import RDNetKit

@Suite("gvforwarder's command line")
struct GVForwarderTests {
    private let recorded = RecordedSurroundings()

    private func run(_ arguments: String...) -> ExitCode {
        RoleRegistry.standard.run(["/usr/libexec/gvforwarder"] + arguments, recorded.surroundings)
    }

    private func settings(_ arguments: String...) throws -> GVForwarderSettings {
        let inputs = ConfigurationInputs(
            arguments: arguments,
            environment: { _ in nil },
            readFile: { _ in .absent },
            roles: [],
            networkKeys: []
        )
        return try Configuration(
            role: "gvforwarder",
            options: Option.gvForwarder,
            inputs: inputs
        ).settings
    }

    @Test func `says its version as gvisor-tap-vsock does`() {
        #expect(run("-version") == .success)
        #expect(recorded.output == "gvforwarder version v\(RoleRegistry.version)\n")
        #expect(recorded.error.isEmpty)
    }

    @Test func `the defaults are the original's`() throws {
        let settings = try settings()
        #expect(settings.url.description == "vsock://2:1024/connect")
        #expect(settings.interface == "tap0")
        #expect(settings.otherInterfaces == ["eth0", "ens3", "enp0s1"])
        #expect(settings.mac?.description == "5a:94:ef:e4:0c:ee")
        #expect(settings.maximumMTU == 4_000)
        #expect(!settings.isPreexisting && !settings.common.isDebugging)
        let end = settings.guestEnd
        #expect(end.ownership == .either && !end.skipsDHCP && end.maximumMTU == 4_000)
    }

    @Test func `a command line as systemd's unit has it`() throws {
        let settings = try settings(
            "-preexisting",
            "-iface",
            "vsock0",
            "-url",
            "vsock://2:1024/connect"
        )
        let end = settings.guestEnd
        #expect(end.ownership == .borrowed && end.skipsDHCP)
        #expect(end.tapInterface == "vsock0")
        #expect(end.link == .connect(.vsock(cid: 2, port: 1024), path: "/connect"))
    }

    @Test func `every flag of the original's is understood`() throws {
        let settings = try settings(
            "-url=unix:///run/x",
            "--iface",
            "tap7",
            "-stop-if-exist=a,b",
            "-mac",
            "",
            "-mtu",
            "1500",
            "-preexisting=false",
            "-debug"
        )
        #expect(settings.url == .connect(.unix("/run/x"), path: "/connect"))
        #expect(settings.interface == "tap7" && settings.otherInterfaces == ["a", "b"])
        #expect(settings.mac == nil && settings.maximumMTU == 1_500)
        #expect(settings.guestEnd.tracesPackets && settings.common.logLevel == .debug)
        #expect(try self.settings("-stop-if-exist", "").otherInterfaces.isEmpty)
    }

    @Test func `another network interface ends it, well`() {
        #expect(run("-stop-if-exist", "rdnet-none,lo", "-iface", "rdnet-none") == .success)
        #expect(recorded.logged.contains("interface lo prevented this program to run"))
    }

    @Test(
        "a wrong value is a usage error that names the flag and the value",
        arguments: [
            ("url", "http://x"), ("mtu", "0"), ("mtu", "x"), ("mac", "1"), ("iface", ""),
            ("preexisting", "maybe"), ("stop-if-exist", "a b"),
        ]
    )
    func wrong(name: String, value: String) {
        #expect(run("-\(name)=\(value)") == .misuse)
        #expect(recorded.error.contains(name) && recorded.error.contains(value))
    }
}
