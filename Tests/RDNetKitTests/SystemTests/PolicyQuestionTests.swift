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
        "a question names the process, whoever has started it",
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

    @Test func `without an answer in the time that the file sets, the connection is refused`()
        throws
    {
        let program = try start(patience: 1, options: [])
        defer { program.end(with: SIGTERM) }
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 7, "\(directory.text(of: "output"))")
    }
}
