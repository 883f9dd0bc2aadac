import Foundation
import Glibc

extension Process {
    private static let ownVariables = [
        "RDNET_BINARY", "RDNET_LOAD", "RDNET_COUNTING", "RDNET_HANG_GUARD",
    ]

    /// Starts the program with no signal blocked.
    ///
    /// Tests run on Dispatch's threads, which block nearly every signal, and `run()` passes the
    /// calling thread's mask on: timeout(1), for example, would then never end its program.
    ///
    /// The variables that `make test` sets for the tests themselves stay here: to rdnet they look
    /// like typing errors.
    ///
    /// - Throws: If the program cannot be started.
    func start() throws {
        var none = sigset_t()
        var former = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &former)
        defer { pthread_sigmask(SIG_SETMASK, &former, nil) }
        let variables = environment ?? ProcessInfo.processInfo.environment
        environment = variables.filter { !Self.ownVariables.contains($0.key) }
        try run()
    }
}
