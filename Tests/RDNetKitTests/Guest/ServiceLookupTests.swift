import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("service lookup")
struct ServiceLookupTests {
    /// A clock that can run ahead of the kernel's.
    private final class Clock {
        var ahead = Duration.zero
        func now() -> Instant { EventLoop.monotonicClock() + ahead }
    }

    private let clock = Clock()
    private let directory = TemporaryDirectory()

    /// Returns the result of a lookup whose `systemctl` is this script.
    private func answer(
        _ script: String,
        waiting wait: Duration = .zero
    ) throws -> Result<Int32, ServiceFailure>? {
        let clock = clock
        let loop = try EventLoop(clock: { clock.now() })
        let path = directory.file("systemctl")
        try AtomicFile.replace(path, with: "#!/bin/sh\n\(script)\n")
        chmod(path, 0o755)
        var answer: Result<Int32, ServiceFailure>?
        let lookup = try ServiceLookup(
            of: "x.service",
            by: path,
            environment: ["PATH=/usr/bin:/bin"],
            on: loop
        ) { answer = $0 }
        clock.ahead = wait
        let deadline = EventLoop.monotonicClock() + hangGuard
        while answer == nil, EventLoop.monotonicClock() < deadline {
            try loop.turn(waitingAtMost: .milliseconds(20))
        }
        return withExtendedLifetime(lookup) { answer }
    }

    @Test(
        "an answer is a process, or says that there is none",
        arguments: [
            ("echo 4711", .success(4711)), ("printf 4711", .success(4711)),
            ("echo 0", .failure(.notRunning("x.service"))),
            ("exit 0", .failure(.notRunning("x.service"))),
            ("echo nonsense", .failure(.notRunning("x.service"))),
            ("echo -1", .failure(.notRunning("x.service"))),
            ("echo 99999999999", .failure(.notRunning("x.service"))),
            ("echo 4711; exit 3", .failure(.noAnswer("x.service", .exited(3)))),
            (
                #"test "$*" = "show --property=MainPID --value x.service" && echo 1"#, .success(1)
            ),
        ] as [(String, Result<Int32, ServiceFailure>)]
    )
    func answers(script: String, expected: Result<Int32, ServiceFailure>) throws {
        #expect(try answer(script) == expected)
    }

    @Test func `one that does not answer is killed after ten seconds`() throws {
        let answer = try answer("exec sleep 60", waiting: .seconds(10))
        #expect(answer == .failure(.noAnswer("x.service", .killed(signal: SIGKILL))))
    }
}
