internal import CLinux
internal import Glibc

/// The start of a child that works for this process with fewer rights.
enum WorkingChild {
    /// Blocks signals, closes every descriptor but some, and takes a name.
    ///
    /// Signals of the terminal are for the parent, which may need the child until its own end. For
    /// the same reason, what ends the parent by its name must not find the child. See
    /// close_range(2).
    ///
    /// - Parameters:
    ///   - name: The process's name, of at most 15 ASCII characters.
    ///   - kept: The descriptors that stay open.
    static func begin(_ name: StaticString, keeping kept: [Int32]) {
        ProcessEnvironment.rename(name)
        var all = sigset_t()
        sigfillset(&all)
        // The kernel kills a process that blocks the report of a refused call (`RefusedCalls`).
        sigdelset(&all, SIGSYS)
        sigprocmask(SIG_BLOCK, &all, nil)
        var first: UInt32 = 0
        for number in Set(kept).sorted() {
            if UInt32(number) > first { close_range(first, UInt32(number) - 1, 0) }
            first = UInt32(number) + 1
        }
        close_range(first, UInt32.max, 0)
    }

    /// Begins a child that logs.
    ///
    /// It keeps descriptors 1 and 2 for the programs that it runs. Descriptor 0 leads to /dev/null,
    /// because it may be the parent's link.
    ///
    /// - Parameters:
    ///   - name: The process's name, of at most 15 ASCII characters.
    ///   - kept: Other descriptors that stay open.
    ///   - log: The child's logger.
    static func begin(_ name: StaticString, keeping kept: [Int32], _ log: Logger) {
        if !kept.contains(STDIN_FILENO) {
            let nothing = open("/dev/null", O_RDONLY)
            if nothing > STDIN_FILENO { dup2(nothing, STDIN_FILENO) }
        }
        let standard = [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
        begin(name, keeping: standard + kept + [log.descriptor()].compactMap { $0 })
    }
}
