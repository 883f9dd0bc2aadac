import Testing

@testable import RDNetKit

/// Mistakes that people make with links, and what the log and `ctl links` say about them.
@Suite(
    "mistakes with links",
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct LinkMistakeTests {
    private let host: NetworkNamespace
    private let directory = TemporaryDirectory()
    private let hostSwitch: RunningProgram

    private var api: String { "unix://\(directory.file("api"))" }
    private var log: String { directory.text(of: "log") }

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
        hostSwitch = try RunningProgram(
            [
                BuiltProgram.rdnet, "host-switch", "--link", "unix://\(directory.file("plain"))",
                "--link", "qemu+unix://\(directory.file("qemu"))",
                "--api", "unix://\(directory.file("api"))", "--logfile", directory.file("log"),
            ],
            in: host
        )
        try #require(comesTrue { log.contains("link=\"qemu+unix") })
    }

    private func guest(
        at link: String,
        in namespace: NetworkNamespace,
        log: String
    ) throws -> RunningProgram {
        try RunningProgram(
            [
                BuiltProgram.rdnet, "vm-switch", "--link", link, "--resolv-conf", "",
                "--logfile", directory.file(log),
            ],
            in: namespace
        )
    }

    @Test func `two ends with different framings: the host's log names both`() throws {
        let namespace = try NetworkNamespace()
        let guest = try guest(
            at: "unix://\(directory.file("qemu"))",
            in: namespace,
            log: "guest"
        )
        defer { guest.end() }
        #expect(comesTrue { log.contains("frames as gvproxy does; expected qemu+") }, "\(log)")
    }

    @Test func `an HTTP client at a link is told apart`() throws {
        let client = try RunningProgram(
            [
                "curl", "-sS", "--max-time", "60", "--unix-socket", directory.file("plain"),
                "http://localhost/stats",
            ],
            in: host
        )
        #expect(comesTrue { log.contains("the other end sends HTTP") }, "\(log)")
        #expect(comesTrue { !client.isRunning })
    }

    @Test func `two guests with one MAC address: the log and the second guest's own say so`() throws
    {
        let namespaces = [try NetworkNamespace(), try NetworkNamespace()]
        let link = "unix://\(directory.file("plain"))"
        let first = try guest(at: link, in: namespaces[0], log: "first")
        defer { first.end() }
        try #require(comesTrue { directory.text(of: "first").contains("leased") })
        let second = try guest(at: link, in: namespaces[1], log: "second")
        defer { second.end() }
        #expect(comesTrue { log.contains("two links have one MAC address") }, "\(log)")
        #expect(
            comesTrue { directory.text(of: "second").contains("waiting for a DHCP server") },
            "\(directory.text(of: "second"))"
        )
        let links = try host.run(BuiltProgram.rdnet, "ctl", "--api", api, "links")
        #expect(links.contains("\(MACAddress.standardGuest) 192.168.127.2"), "\(links)")
    }
}
