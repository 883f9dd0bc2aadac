internal import CLinux
internal import Glibc

/// Writes whose failure raises no signal.
///
/// A reader that exits (SIGPIPE) or a file that reaches the process's limit (SIGXFSZ) must not end
/// the program. Ignoring the signals in the whole process is no alternative, because the programs
/// that it starts would inherit that.
enum SignallessWrite {
    /// Writes once.
    ///
    /// See write(2), pthread_sigmask(3), sigtimedwait(2).
    ///
    /// - Parameters:
    ///   - number: A descriptor that does not block, or that is ready.
    ///   - buffer: The bytes.
    /// - Returns: The number of bytes written; -1 after an error, with errno.
    static func write(_ number: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
        // Sound: every pointer is valid for its call; the process has one thread, so the signal is
        // its own.
        var signals = sigset_t()
        var before = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        sigaddset(&signals, SIGXFSZ)
        pthread_sigmask(SIG_BLOCK, &signals, &before)
        let taken = Glibc.write(number, buffer.baseAddress, buffer.count)
        let code = errno
        if taken < 0, code == EPIPE || code == EFBIG {
            var noTime = timespec()
            sigtimedwait(&signals, nil, &noTime)
        }
        pthread_sigmask(SIG_SETMASK, &before, nil)
        errno = code
        return taken
    }
}
