import Testing

@testable import RDNetKit

/// What `up` says where a machine does not allow what it needs.
@Suite(
    "errors at the start name the next step",
    .enabled(if: canMakeNamespaces, "needs root to make namespaces")
)
struct StartErrorTests {
    /// Runs a shell script in new user, mount and network namespaces; returns what it prints.
    private func error(_ script: String) throws -> String {
        try run(
            "unshare",
            "-U",
            "-r",
            "-m",
            "-n",
            "sh",
            "-c",
            "\(script) || exit 0; echo started",
            "sh",
            BuiltProgram.rdnet
        )
    }

    @Test("too many namespaces", arguments: ["user", "net"])
    func namespaces(kind: String) throws {
        let text = try error(
            """
            echo 0 > /proc/sys/user/max_\(kind)_namespaces
            setpriv --bounding-set=-all --inh-caps=-all "$1" up -- true
            """
        )
        #expect(text.contains("sysctl user.max_user_namespaces"), "\(text)")
        #expect(!text.contains("started"))
    }

    @Test("a device for TAPs that is missing or denied", arguments: [true, false])
    func device(isMissing: Bool) throws {
        let node = isMissing ? "true" : "touch /dev/net/tun; chmod 0 /dev/net/tun"
        let text = try error(
            """
            mount -t tmpfs none /dev/net; \(node)
            setpriv --bounding-set=-dac_override --inh-caps=-all "$1" up -- true
            """
        )
        #expect(text.contains(isMissing ? "modprobe tun" : "--device /dev/net/tun"), "\(text)")
        #expect(!text.contains("started"))
    }
}
