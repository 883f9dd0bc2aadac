internal import CLinux
internal import Glibc

/// The process's handling of signals that no `SignalWatch` reads.
///
/// The program itself never ignores a signal. If a signal is ignored, the parent process ignored
/// it: nohup(1), a shell that runs a command in the background, or `trap ''`. Such a signal stays
/// ignored, here and in the program's children.
enum SignalDisposition {
    /// The signals whose default action ends a process, except the requests to end (SIGHUP, SIGINT,
    /// SIGQUIT, SIGTERM, SIGKILL), resource limits (SIGXCPU, SIGXFSZ) and program errors.
    static let strayNumbers: [Int32] =
        [SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT]
        + Array(firstRealTime...lastRealTime)

    /// The real-time signals, without the two that the C library uses itself.
    ///
    /// See signal(7).
    private static let firstRealTime: Int32 = 34
    private static let lastRealTime: Int32 = 64

    /// Prepares the process; called once, before any role starts.
    ///
    /// Blocks every signal that would end the program although it requests nothing of it. A role
    /// that uses one of them, such as SIGUSR1, reads it with a `SignalWatch`. SIGPIPE is redundant,
    /// because every write reports EPIPE. Children start with no signal blocked.
    ///
    /// SIGCHLD is the exception to the rule above: a process that ignores it cannot learn how its
    /// children end. See signal(7), waitpid(2).
    static func prepare() {
        var strays = sigset_t()
        sigemptyset(&strays)
        for number in strayNumbers { sigaddset(&strays, number) }
        sigprocmask(SIG_BLOCK, &strays, nil)
        if isIgnored(SIGCHLD) { signal(SIGCHLD, SIG_DFL) }
    }

    /// Whether the process ignores a signal.
    ///
    /// See sigaction(2).
    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        // Sound: a handler is a pointer or one of two small numbers; it is compared and never
        // invoked.
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// The signals that a child handles by default: the 31 standard signals except the ignored
    /// ones.
    static var childDefaults: sigset_t {
        var set = sigset_t()
        sigfillset(&set)
        for number in Int32(1)...31 where isIgnored(number) { sigdelset(&set, number) }
        return set
    }
}
