internal import CLinux
internal import Glibc

/// The terminal of a program that shows whole screens and reads single keys.
///
/// How it works: the program draws on the terminal's second screen, with the cursor hidden and
/// lines cut at the right edge, and reads keys without echo. The end of the object undoes that.
/// Signals that would end the program are blocked and read from a descriptor, so the program ends
/// by itself and leaves the terminal as it was. See termios(3), signalfd(2), console_codes(4).
struct ScreenTerminal: ~Copyable {
    /// What `wait` has met.
    enum Input: Equatable {
        /// The bytes of one or more keys.
        case keys([UInt8])
        /// The size has changed, or the program was stopped for a while.
        case redraw
        /// A signal asks the program to end, by its number.
        case end(Int32)
        /// The time is up.
        case nothing
    }

    private static let ending = [SIGTERM, SIGINT, SIGHUP, SIGQUIT]
    private static let watched = ending + [SIGWINCH, SIGTSTP, SIGCONT]
    private static let octetsPerRead = 64

    private let signals: OwnedDescriptor
    private let original: termios
    private let previousMask: sigset_t

    /// Whether both the standard input and output are terminals.
    static var isAvailable: Bool {
        isatty(STDIN_FILENO) == 1 && StandardStream.output.isTerminal
    }

    /// Takes the terminal.
    ///
    /// - Throws: `SystemError`.
    init() throws(SystemError) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in Self.watched where !SignalDisposition.isIgnored(signal) {
            sigaddset(&set, signal)
        }
        var modes = termios()
        try systemCall("tcgetattr") { tcgetattr(STDIN_FILENO, &modes) }
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("signalfd") {
                signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
            }
        )
        var previous = sigset_t()
        sigprocmask(SIG_BLOCK, &set, &previous)
        signals = descriptor
        original = modes
        previousMask = previous
        enter()
    }

    deinit {
        leave()
        var mask = previousMask
        sigprocmask(SIG_SETMASK, &mask, nil)
    }

    private func enter() {
        var modes = original
        cfmakeraw(&modes)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &modes)
        StandardStream.output.print("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l")
    }

    private func leave() {
        StandardStream.output.print("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l")
        var modes = original
        tcsetattr(STDIN_FILENO, TCSADRAIN, &modes)
    }

    /// The number of rows and columns; 24 and 80 if the terminal does not say.
    ///
    /// See ioctl_tty(2), TIOCGWINSZ.
    var size: (rows: Int, columns: Int) {
        var window = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0, window.ws_row > 0,
            window.ws_col > 0
        else { return (24, 80) }
        return (Int(window.ws_row), Int(window.ws_col))
    }

    /// Replaces what is shown, in one write, so that nothing flickers.
    ///
    /// - Parameter lines: At most as many as there are rows; printable, but for attributes.
    func show(_ lines: [String]) {
        let text = lines.map { $0 + "\u{1b}[K" }.joined(separator: "\r\n")
        StandardStream.output.print("\u{1b}[H" + text + "\u{1b}[J")
    }

    /// Waits for a key or a signal.
    ///
    /// - Parameter limit: The time to wait.
    /// - Returns: What happened first.
    /// - Throws: `SystemError`.
    func wait(atMost limit: Duration) throws(SystemError) -> Input {
        var requests = [
            pollfd(fd: signals.number, events: Int16(POLLIN), revents: 0),
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        ]
        let milliseconds = Int32(max(limit.millisecondsRoundedUp, 0))
        let ready = try systemCall("poll") { poll(&requests, 2, milliseconds) }
        if ready == 0 { return .nothing }
        if requests[0].revents != 0 { return input(of: try nextSignal()) }
        var octets = [UInt8](repeating: 0, count: Self.octetsPerRead)
        let count = try attempt("standard input") {
            read(STDIN_FILENO, &octets, octets.count)
        }
        // The end of the input is the end of the terminal.
        return count == 0 ? .end(SIGHUP) : .keys(Array(octets.prefix(count ?? 0)))
    }

    private func nextSignal() throws(SystemError) -> Int32 {
        var info = signalfd_siginfo()
        let length = MemoryLayout<signalfd_siginfo>.size
        let count = try attempt("signalfd") { read(signals.number, &info, length) }
        return count == length ? Int32(info.ssi_signo) : 0
    }

    private func input(of signal: Int32) -> Input {
        if Self.ending.contains(signal) { return .end(signal) }
        if signal == SIGTSTP { suspend() }
        return signal == 0 ? .nothing : .redraw
    }

    /// Stops the program as the terminal's key would, and takes the terminal again afterwards.
    private func suspend() {
        leave()
        raise(SIGSTOP)
        enter()
    }

    /// Ends the program by a signal, as if it had never been blocked.
    static func die(of signal: Int32) {
        Glibc.signal(signal, SIG_DFL)
        raise(signal)
    }
}
