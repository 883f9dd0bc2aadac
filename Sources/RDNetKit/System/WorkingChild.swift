internal import CLinux
internal import Glibc

/// The start of a child that works for this process with fewer rights.
enum WorkingChild {
    /// Blocks all signals and closes every descriptor but some.
    ///
    /// Signals of the terminal are for the parent, which may need the child until its own end. See
    /// close_range(2).
    ///
    /// - Parameter kept: The descriptors that stay open.
    static func begin(keeping kept: [Int32]) {
        var all = sigset_t()
        sigfillset(&all)
        sigprocmask(SIG_BLOCK, &all, nil)
        var first: UInt32 = 0
        for number in kept.sorted() {
            if UInt32(number) > first { close_range(first, UInt32(number) - 1, 0) }
            first = UInt32(number) + 1
        }
        close_range(first, UInt32.max, 0)
    }
}
