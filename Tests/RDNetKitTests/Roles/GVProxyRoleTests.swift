import Testing

@testable import RDNetKit

@Suite("gvproxy as a role")
struct GVProxyRoleTests {
    private let recorded = RecordedSurroundings()

    private func run(_ arguments: String...) -> ExitCode {
        RoleRegistry.standard.run(["/usr/libexec/gvproxy"] + arguments, recorded.surroundings)
    }

    @Test("help goes to standard error, as Go's programs have it", arguments: ["-h", "-help"])
    func help(option: String) {
        #expect(run(option) == .success)
        #expect(recorded.error.hasPrefix("Usage: rdnet gvproxy"))
        #expect(recorded.output.isEmpty)
    }

    @Test func `the version goes to standard output, with a v in front`() {
        #expect(run("-version") == .success)
        #expect(recorded.output == "gvproxy version v\(RoleRegistry.version)\n")
        #expect(recorded.error.isEmpty)
    }

    @Test func `its own file is not taken for the common one`() {
        // A missing /etc/rdnet.conf is no failure, because --config names gvproxy's own file.
        #expect(run("-config", "/yaml") == .failure)
        let reason = "failed to read config file: open /yaml: no such file or directory"
        #expect(recorded.error == "rdnet gvproxy: \(reason)\n")
    }

    @Test func `a log file of the file's own is told of a failure too`() {
        recorded.files["/yaml"] = "log-file: /log\nlisten: [nowhere]"
        #expect(run("-config", "/yaml") == .failure)
        #expect(recorded.logged.contains("level=fatal msg=\"cannot listen: unexpected scheme"))
        #expect(recorded.error.hasPrefix("rdnet gvproxy: cannot listen: unexpected scheme"))
    }
}
