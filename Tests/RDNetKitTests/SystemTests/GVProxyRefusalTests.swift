import Foundation
import Testing

@testable import RDNetKit

/// A command line that gvproxy refuses, with its status and message.
private struct Refusal: CustomTestStringConvertible, Sendable {
    let options: [String]
    /// The YAML file at `@/yaml`, if there is one.
    var yaml: String?
    var status: Int32 = 1
    /// The start of its only line on standard error, after the program's name.
    let sentence: String

    var testDescription: String { sentence }

    static let all =
        files + network + endpoints + forwards
        + [
            Refusal(["-nonsense"], status: 2, "unknown option --nonsense"),
            Refusal(["-mtu", "foo"], status: 2, "--mtu: \"foo\" is not valid; expected "),
            Refusal(["-ssh-port=x"], status: 2, "--ssh-port: \"x\" is not valid; expected "),
            Refusal(["-debug=maybe"], status: 2, "--debug: \"maybe\" is not valid; expected "),
            Refusal(["-listen"], status: 2, "--listen needs a value"),
        ]

    private static let files = [
        Refusal(
            ["-config", "@/none"],
            "failed to read config file: open @/none: no such file or directory"
        ),
        Refusal(yaml: "a: [", "failed to parse configuration: yaml: line 1: "),
        Refusal(yaml: "stack:\n  mtu: many", "failed to parse configuration: yaml: line 2: "),
        Refusal(
            yaml: "stack: {dns: [{name: z., defaultIP: nope}]}",
            "failed to parse configuration: dns \"z.\": invalid IP address: nope"
        ),
        Refusal(
            yaml: "stack: {dns: [{name: z., records: [{regexp: \"(\", ip: 1.2.3.4}]}]}",
            "failed to parse configuration: dns \"z.\": error parsing regexp: missing closing ): `(`"
        ),
        Refusal(yaml: "log-file: '@/none/x'", "unable to open log file @/none/x"),
        Refusal(["-log-file", "@/none/x"], "unable to open log file @/none/x"),
    ]

    private static let network = [
        Refusal(["-subnet", "foo"], "failed to parse subnet: netip.ParsePrefix(\"foo\"): no '/'"),
        Refusal(
            ["-subnet", "10.0.0.0/30"],
            "failed to identify usable gateway IP address in subnet: subnet too small"
        ),
        Refusal(["-subnet", "fd00::/64"], "failed to parse subnet: "),
        Refusal(
            ["-gatewayIP", "xyz"],
            "failed to validate configuration IPs: invalid IP address: xyz"
        ),
        Refusal(
            ["-hostIP", "1.2.3.4"],
            "failed to validate configuration IPs: IP (1.2.3.4) not in subnet (192.168.127.0/24)"
        ),
        Refusal(
            ["-deviceIP", "192.168.127.0"],
            "failed to validate configuration IPs: IP must not be address of subnet: 192.168.127.0"
        ),
        Refusal(
            ["-deviceIP", "192.168.127.255"],
            "failed to validate configuration IPs: IP must not be broadcast address: 192.168.127.255"
        ),
        Refusal(
            ["-deviceIP", "192.168.127.1"],
            "failed to validate configuration IPs: IP addresses need to be distinct"
        ),
        Refusal(["-mtu", "-1"], "mtu is out of range"),
        Refusal(
            yaml: "stack: {dhcpStaticLeases: {192.168.127.9: zz}}",
            "cannot create tap endpoint: address zz: invalid MAC address"
        ),
        Refusal(
            yaml: "stack: {gatewayMacAddress: zz}",
            "cannot create tap endpoint: address zz: invalid MAC address"
        ),
    ]

    private static let endpoints = [
        Refusal(["-notification", "/x"], "notification listen address must be unix:// address"),
        Refusal(["-listen-qemu", "@/q"], "invalid value for qemu listen address: \"@/q\": "),
        Refusal(
            ["-listen-vpnkit", "x://y"],
            "invalid value for vpnkit listen address: \"x://y\": "
        ),
        Refusal(["-listen", "@/x"], "cannot listen: unexpected scheme"),
        Refusal(["-services", "udp://127.0.0.1:1"], "cannot listen: unexpected scheme"),
        Refusal(["-listen-qemu", "unix://@/yaml"], yaml: "{}", "\"@/yaml\" already exists"),
        Refusal(["-listen-bess", "unixpacket://@/yaml"], yaml: "{}", "\"@/yaml\" already exists"),
        Refusal(["-listen-vfkit", "unixgram://@/yaml"], yaml: "{}", "\"@/yaml\" already exists"),
        Refusal(
            ["-listen-bess", "unix://@/x"],
            "bess listen address must be unixpacket:// address"
        ),
        Refusal(
            ["-listen-vfkit", "unix://@/x"],
            "vfkit listen address must be unixgram:// address"
        ),
        Refusal(
            ["-listen-qemu", "unix://@/x", "-listen-vpnkit", "unix://@/y"],
            "cannot use qemu and vpnkit protocol at the same time"
        ),
        Refusal(
            ["-listen-bess", "unixpacket://@/x", "-listen-vpnkit", "unix://@/y"],
            "cannot use bess and vpnkit protocol at the same time"
        ),
        Refusal(
            ["-listen-qemu", "unix://@/x", "-listen-bess", "unixpacket://@/y"],
            "cannot use qemu and bess protocol at the same time"
        ),
    ]

    private static let forwards = [
        Refusal(["-ssh-port", "0"], "ssh-port value must be between 1024 and 65535"),
        Refusal(["-ssh-port", "-2"], "ssh-port value must be between 1024 and 65535"),
        Refusal(
            ["-forward-sock", "@/x", "-forward-user", "core"],
            "--forward-sock, --forward-dest, --forward-user, and --forward-identity must all be "
                + "specified together, the same number of times, or not at all"
        ),
        Refusal(
            [
                "-forward-sock", "@/x", "-forward-dest", "/y", "-forward-user", "core",
                "-forward-identity", "@/key",
            ],
            "identity file \"@/key\" can't be loaded: stat @/key: no such file or directory"
        ),
        Refusal(
            yaml: "stack: {forwards: {\"127.0.0.1:1\": \"fd00::1\"}}",
            "cannot add network services: address fd00::1: too many colons in address"
        ),
        Refusal(
            yaml: "stack: {forwards: {\"udp:x:y:z\": \"192.168.127.2:1\"}}",
            "cannot add network services: address x:y:z: too many colons in address"
        ),
    ]

    private init(
        _ options: [String] = [],
        yaml: String? = nil,
        status: Int32 = 1,
        _ sentence: String
    ) {
        self.options = options
        self.yaml = yaml
        self.status = status
        self.sentence = sentence
    }
}

@Suite(
    "what gvproxy does not begin with",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct GVProxyRefusalTests {
    @Test("is said in its words, with its status", arguments: Refusal.all)
    fileprivate func refuses(refusal: Refusal) throws {
        let scene = try GVProxyScene()
        var options = refusal.options
        if let yaml = refusal.yaml {
            try scene.write("yaml", yaml)
            if options.isEmpty { options = ["-config", "@/yaml"] }
        }
        #expect(try scene.fail(options) == refusal.status)
        let path = scene.directory.path
        let expected = refusal.sentence.replacingOccurrences(of: "@", with: path)
        // The network's own log lines may precede the message.
        let lines = scene.log.split(separator: "\n").filter { !$0.hasPrefix("time=") }
        #expect(lines.count == 1 && lines[0].hasPrefix("rdnet gvproxy: \(expected)"), "\(lines)")
        #expect(try scene.files() == (refusal.yaml == nil ? [] : ["yaml"]))
    }
}
