import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "questions of a policy",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
final class PolicyQuestionTests {
    private let host: NetworkNamespace
    private let directory = TemporaryDirectory()

    init() throws {
        host = try NetworkNamespace()
        try host.run("ip", "link", "set", "lo", "up")
    }

    /// Starts `up` with a policy that asks, and a client of an address that nobody has.
    private func start(
        patience: Int,
        options: [String],
        by prefix: [String] = []
    ) throws -> RunningProgram {
        let policy = directory.file("policy")
        try "[policy]\ndefault = ask\nask-timeout = \(patience)\n"
            .write(toFile: policy, atomically: true, encoding: .utf8)
        return try RunningProgram(
            prefix + [
                BuiltProgram.rdnet, "up", "--policy", policy, "--api", "unix://\(api)", "--logfile",
                "",
            ] + options + ["--", "curl", "-sS", "http://9.9.9.9/"],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
    }

    private var api: String { directory.file("api") }

    @discardableResult
    private func ctl(_ words: String) throws -> String {
        try host.run("sh", "-c", "\(BuiltProgram.rdnet) ctl --api unix://\(api) policy \(words)")
    }

    @Test(
        "a question names the process, for root and for an ordinary user",
        arguments: [[], ["--keep-uid"]],
        [false, true]
    )
    func namesProcess(options: [String], isRoot: Bool) throws {
        let prefix = isRoot ? [] : try OrdinaryUser(directory).prefix
        if !isRoot { try run(["chmod", "777", directory.path]) }
        let program = try start(patience: 600, options: options, by: prefix)
        defer { program.end(with: SIGTERM) }
        // The API opens before the command runs, and the child answers after the question is open.
        let isNamed = comesTrue {
            succeeds { try ctl("pending | grep -q '9.9.9.9:80.*curl ('") }
        }
        try #require(isNamed, "\(directory.text(of: "output"))")
        try ctl("deny 1")
        #expect(comesTrue { !program.isRunning })
        // Of curl: the connection was refused.
        #expect(program.status == 7, "\(directory.text(of: "output"))")
    }

    /// The words that start `up` with a policy that denies everything, and a client.
    private func denied(audit: String) -> [String] {
        [
            BuiltProgram.rdnet, "up", "--allow", "tcp 192.0.2.1", "--audit", audit, "--logfile", "",
            "--",
        ]
    }

    private let client = "curl -s http://9.9.9.9/; echo forged >&3; true"

    @Test func `decisions go to a descriptor, which the command does not have`() throws {
        let words = denied(audit: "fd:3").joined(separator: "' '")
        let script = "exec '\(words)' sh -c '\(client)' 3>\(directory.file("audit"))"
        let program = try RunningProgram(["sh", "-c", script], in: host)
        defer { program.end(with: SIGTERM) }
        #expect(comesTrue { !program.isRunning })
        let text = directory.text(of: "audit")
        #expect(text.contains(#""destination":"9.9.9.9:80""#), "\(text)")
        #expect(!text.contains("forged"), "\(text)")
    }

    @Test func `decisions go to the machine's log, one message each`() throws {
        // Its socket has a fixed name, so the program sees a private /dev with a file in its place.
        let log = directory.file("log")
        let receiver = try RunningProgram(
            ["socat", "-u", "UNIX-RECV:\(log)", "CREATE:\(directory.file("messages"))"],
            in: host
        )
        defer { receiver.end(with: SIGKILL) }
        try #require(comesTrue { FileManager.default.fileExists(atPath: log) })
        let mount = """
            rm -f /dev/log; ln -s \(log) /dev/log; exec "$@"
            """
        let program = try RunningProgram(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", devices + mount, "sh"]
                + denied(audit: "syslog") + ["sh", "-c", client],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        defer { program.end(with: SIGTERM) }
        #expect(comesTrue { !program.isRunning })
        #expect(comesTrue { directory.text(of: "messages").contains("9.9.9.9:80") })
        let text = directory.text(of: "messages")
        #expect(text.hasPrefix("<30>rdnet[") && text.contains(#"]: {"time":"#), "\(text)")
    }

    /// A private /dev with the devices that the programs need.
    private let devices = """
        mkdir /tmp/dev-$$; mount -t tmpfs none /tmp/dev-$$; mkdir /tmp/dev-$$/net
        for name in null zero random urandom tty net/tun; do
            touch /tmp/dev-$$/$name; mount --bind /dev/$name /tmp/dev-$$/$name
        done
        mount --move /tmp/dev-$$ /dev; rmdir /tmp/dev-$$

        """

    @Test(
        "an audit that cannot be written ends the program with one sentence",
        arguments: [
            ("fd:9", 1, "audit fd:9: the program was started without it"),
            ("fd:x", 2, "--audit: \"fd:x\" is not valid; expected a path, fd: and the number"),
            ("/no/such", 1, "audit open /no/such: No such file or directory"),
        ]
    )
    func badAudit(audit: String, status: Int32, sentence: String) throws {
        let program = try RunningProgram(
            denied(audit: audit) + ["true"],
            in: host,
            output: URL(fileURLWithPath: directory.file("output"))
        )
        defer { program.end(with: SIGTERM) }
        #expect(comesTrue { !program.isRunning })
        let output = directory.text(of: "output")
        #expect(program.status == status && output.contains(sentence), "\(output)")
    }

    @Test func `without an answer in the time that the file sets, the connection is refused`()
        throws
    {
        let program = try start(patience: 1, options: [])
        defer { program.end(with: SIGTERM) }
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 7, "\(directory.text(of: "output"))")
    }
}
