internal import CLinux
internal import Glibc

/// The first process of a PID namespace, such as a container's: it has to wait for every orphan.
///
/// How it works: the program's own work runs in a child, so that waiting for any process here never
/// takes the end of a child that the work waits for itself. This process forwards signals, waits
/// for every process that ends, and ends with the work. It keeps no descriptor open, because a peer
/// must see the end of a stream when the work closes it. See pid_namespaces(7).
enum InitProcess {
    /// Runs the program's work, in a child if this is the first process of its PID namespace.
    ///
    /// - Parameter work: Returns the exit status.
    /// - Returns: The same status, or 128 plus the number of the signal that killed the child.
    static func run(_ work: () -> Int32) -> Int32 {
        guard getpid() == 1 else { return work() }
        var (all, former) = (sigset_t(), sigset_t())
        sigfillset(&all)
        // A blocked signal stays pending until it is read, even for the first process.
        sigprocmask(SIG_BLOCK, &all, &former)
        let child: Int32
        do throws(SystemError) {
            child = try Namespace.fork {
                sigprocmask(SIG_SETMASK, &former, nil)
                return work()
            }
        } catch {
            // Without a child the work still runs; only orphans stay.
            sigprocmask(SIG_SETMASK, &former, nil)
            return work()
        }
        closefrom(0)
        return serve(child, reading: &all)
    }

    private static func serve(_ child: Int32, reading signals: inout sigset_t) -> Int32 {
        while true {
            var info = siginfo_t()
            let number = sigwaitinfo(&signals, &info)
            if number == SIGCHLD {
                if let status = reap(until: child) { return status }
            } else if number > 0, info.si_code <= 0 || number == SIGHUP {
                // The terminal's keys signal the whole foreground group, but a hang-up only this
                // process.
                kill(child, number)
            }
        }
    }

    /// Waits for every process that has ended; returns the child's status if it is among them.
    private static func reap(until child: Int32) -> Int32? {
        var result: Int32?
        var status: Int32 = 0
        while true {
            let process = waitpid(-1, &status, WNOHANG)
            guard process > 0 else { return result }
            if process == child { result = ProcessEnd(waitStatus: status).shellStatus }
        }
    }
}
