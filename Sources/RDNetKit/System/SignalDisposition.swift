internal import CLinux
internal import Glibc

/// What the process does about signals that no `SignalWatch` reads.
///
/// The program never ignores a signal by itself, so a signal that is ignored was ignored by whoever
/// started it: nohup(1), a shell that runs a command in the background, or `trap ''`. It stays
/// ignored, here and in the program's children.
enum SignalDisposition {
    /// Prepares the process: called once, before any role begins.
    ///
    /// Blocks the signals that would end the program although nobody wants that: SIGUSR1 and
    /// SIGUSR2, which a role without a use for them may still receive, and SIGPIPE, because every
    /// write reports EPIPE. A role that does use one of the first two reads it with a
    /// `SignalWatch`. Children start with nothing blocked.
    ///
    /// SIGCHLD is the exception to the rule above: a process that ignores it cannot learn how its
    /// children end. See signal(7), waitpid(2).
    static func prepare() {
        var strays = sigset_t()
        sigemptyset(&strays)
        for number in [SIGUSR1, SIGUSR2, SIGPIPE] { sigaddset(&strays, number) }
        sigprocmask(SIG_BLOCK, &strays, nil)
        if isIgnored(SIGCHLD) { signal(SIGCHLD, SIG_DFL) }
    }

    /// Whether the process ignores a signal.
    ///
    /// See sigaction(2).
    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        // Sound: a handler is an address or one of two small numbers, and is compared, never
        // called.
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// The signals for which a child takes the default action: all but the ignored ones of the 31
    /// standard signals.
    static var childDefaults: sigset_t {
        var set = sigset_t()
        sigfillset(&set)
        for number in Int32(1)...31 where isIgnored(number) { sigdelset(&set, number) }
        return set
    }
}
