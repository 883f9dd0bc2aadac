import Testing

@testable import RDNetKit

/// A flag of Rancher Desktop's tools, with the default from their tables.
struct RancherFlag: CustomTestStringConvertible, Sendable {
    let role: String
    let name: String
    /// The default; empty if there is none or if it depends on the product's generation.
    let standard: String
    let good: String
    /// An invalid value; nil if any text is valid.
    let bad: String?

    var testDescription: String { "\(role) -\(name)" }

    init(_ role: String, _ name: String, _ standard: String, good: String, bad: String? = nil) {
        self.role = role
        self.name = name
        self.standard = standard
        self.good = good
        self.bad = bad
    }

    var isBoolean: Bool { ["false", "true"].contains(standard) }

    private static func both(_ role: String) -> [RancherFlag] {
        [
            RancherFlag(role, "debug", "false", good: "true", bad: "yes"),
            RancherFlag(
                role,
                "tap-interface",
                "eth0",
                good: "tap7",
                bad: "a name that is too long"
            ),
            RancherFlag(role, "tap-mac-address", "5a:94:ef:e4:0c:ee", good: "", bad: "5a:94"),
            RancherFlag(role, "subnet", "192.168.127.0/24", good: "10.1.2.0/24", bad: "10.1.2.0"),
            RancherFlag(role, "logfile", "/var/log/\(role).log", good: "/dev/stdout"),
            RancherFlag(role, "dhcp-script", "", good: "/bin/true"),
            RancherFlag(role, "trace-packets", "false", good: "true", bad: "2"),
        ]
    }

    static let all =
        both("network-setup") + both("vm-switch") + [
            RancherFlag("network-setup", "vm-switch-path", "", good: "/usr/local/bin/vm-switch"),
            RancherFlag("network-setup", "vm-switch-logfile", "", good: "/var/log/x.log"),
            RancherFlag("network-setup", "unshare-arg", "", good: "/usr/local/bin/wsl-init"),
            RancherFlag(
                "network-setup",
                "namespace-service",
                "network-namespace.service",
                good: "other.service"
            ),
            RancherFlag("network-setup", "vm-switch-logfile-append", "false", good: "1", bad: ""),
            RancherFlag("network-setup", "vsock-handshake-port", "", good: "0x1a0e", bad: "x"),
            RancherFlag("network-setup", "vsock-dial-port", "", good: "6657", bad: "-1"),
            RancherFlag("vm-switch", "vsock-fd", "3", good: "0x7", bad: "three"),
            RancherFlag("vm-switch", "logfile-append", "true", good: "F", bad: "tRUE"),
        ]
}

@Suite("Rancher Desktop's flags")
struct RancherFlagsTests {
    private let recorded = RecordedSurroundings()

    /// Runs a role that only prints its parsed options.
    private func printed(_ flag: RancherFlag, _ arguments: [String]) -> (ExitCode, String) {
        let words = [flag.role] + arguments + ["-print-config"]
        return (RoleRegistry.standard.run(words, recorded.surroundings), recorded.output)
    }

    @Test("a flag has its default", arguments: RancherFlag.all)
    func hasItsDefault(flag: RancherFlag) {
        let values =
            flag.role == "vm-switch"
            ? Self.defaults(Option.vmSwitch, VMSwitchSettings())
            : Self.defaults(Option.networkSetup, NetworkSetupSettings())
        #expect(values[flag.name] == [flag.standard])
    }

    private static func defaults<Settings>(
        _ options: [Option<Settings>],
        _ settings: Settings
    ) -> [String: [String]] {
        Dictionary(uniqueKeysWithValues: options.map { ($0.name, $0.values(settings)) })
    }

    @Test("a flag is accepted with one hyphen and with two", arguments: RancherFlag.all)
    func isAccepted(flag: RancherFlag) {
        var forms = [["-\(flag.name)=\(flag.good)"], ["--\(flag.name)=\(flag.good)"]]
        if !flag.isBoolean {
            forms += [["-\(flag.name)", flag.good], ["--\(flag.name)", flag.good]]
        }
        for form in forms { #expect(printed(flag, form).0 == .success, "\(form)") }
        #expect(recorded.error.isEmpty)
    }

    @Test("a wrong value is one sentence, and status 2", arguments: RancherFlag.all)
    func wrongValue(flag: RancherFlag) {
        guard let bad = flag.bad else { return }
        #expect(printed(flag, ["-\(flag.name)=\(bad)"]).0 == .misuse)
        let beginning = "rdnet \(flag.role): --\(flag.name): \"\(bad)\" is not valid; expected "
        #expect(recorded.error.hasPrefix(beginning) && recorded.error.hasSuffix("\n"))
        #expect(recorded.output.isEmpty)
    }

    @Test("a missing value is one sentence, and status 2", arguments: RancherFlag.all)
    func missingValue(flag: RancherFlag) {
        // A Boolean flag needs no value.
        guard !flag.isBoolean else { return }
        let status = RoleRegistry.standard.run([flag.role, "-\(flag.name)"], recorded.surroundings)
        #expect(status == .misuse)
        #expect(recorded.error.hasPrefix("rdnet \(flag.role): --\(flag.name) needs a value"))
    }
}
