import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite(
    "rdnet as the first process of a PID namespace",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct InitProcessTests {
    private static let first = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]

    /// Leaves orphans that end, and succeeds once none of them is left, not even as a zombie.
    private static let orphans = """
        for number in 1 2 3 4 5; do sh -c 'sleep 0.1 & :'; done
        for attempt in $(seq 600); do
            pgrep -x sleep >/dev/null || exit 0
            perl -e 'select undef, undef, undef, 0.05'
        done
        exit 4
        """

    @Test func `waits for the orphans of up's command`() throws {
        let directory = TemporaryDirectory()
        try AtomicFile.replace(directory.file("script"), with: Self.orphans)
        let namespace = try NetworkNamespace()
        let program = try RunningProgram(
            Self.first
                + [BuiltProgram.rdnet, "up", "--", "/bin/sh", directory.file("script")],
            in: namespace
        )
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 0)
    }

    @Test("returns the command's status", arguments: ["exit 7", "kill -9 $$"])
    func status(command: String) throws {
        let namespace = try NetworkNamespace()
        let program = try RunningProgram(
            Self.first
                + [BuiltProgram.rdnet, "up", "--", "/bin/sh", "-c", command],
            in: namespace
        )
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == (command == "exit 7" ? 7 : 128 + SIGKILL))
        withExtendedLifetime(namespace) {}
    }

    @Test func `forwards signals`() throws {
        let directory = TemporaryDirectory()
        let host = try NetworkNamespace()
        let program = try RunningProgram(
            Self.first + [
                BuiltProgram.rdnet, "gvproxy", "-listen", "unix://\(directory.file("api"))",
                "-log-file", directory.file("log"), "-pid-file", directory.file("pid"),
            ],
            in: host
        )
        func log() -> String {
            directory.text(of: "log")
        }
        #expect(comesTrue { log().contains("waiting for clients") })
        let first = try run("pgrep", "-P", "\(program.number)").trimmed
        let number = try #require(Int32(first))
        kill(number, SIGTERM)
        #expect(comesTrue { !program.isRunning })
        #expect(program.status == 0)
        #expect(log().contains("gvproxy exiting: signal caught"))
    }
}
