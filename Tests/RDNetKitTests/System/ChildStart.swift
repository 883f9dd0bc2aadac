import Foundation
import Glibc

extension Process {
    /// Starts the program with no signal blocked.
    ///
    /// Tests run on Dispatch's threads, which block nearly every signal, and `run()` passes the
    /// calling thread's mask on: timeout(1), for example, would then never end its program.
    ///
    /// - Throws: If the program cannot be started.
    func start() throws {
        var none = sigset_t()
        var former = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &former)
        defer { pthread_sigmask(SIG_SETMASK, &former, nil) }
        try run()
    }
}
