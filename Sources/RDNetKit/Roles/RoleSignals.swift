/// What signals do to a role that serves until it is told to end.
///
/// SIGTERM and SIGINT end it. SIGHUP opens the log file again when a process sends it, as logrotate
/// does. SIGHUP ends a role that has no log file, and one whose terminal hung up: then it comes
/// from the kernel, or from a shell that passes it on. A signal that was ignored at the start stays
/// ignored.
final class RoleSignals {
    private let log: Logger
    private let ended: (ProcessSignal) -> Void
    private let toggled: (() -> Void)?
    private let hadTerminal = Terminal.isControlling
    private var watch: SignalWatch?

    /// Starts to react.
    ///
    /// - Parameters:
    ///   - log: For the file to open again.
    ///   - loop: Where signals become events.
    ///   - endsOnQuit: Whether SIGQUIT ends the role in order, too.
    ///   - toggled: Called for SIGUSR1; nil ignores it.
    ///   - ended: Called when a signal asks the role to end.
    /// - Throws: `SystemError`.
    init(
        log: Logger,
        loop: EventLoop,
        endsOnQuit: Bool = false,
        toggled: (() -> Void)? = nil,
        ended: @escaping (ProcessSignal) -> Void
    ) throws(SystemError) {
        self.log = log
        self.ended = ended
        self.toggled = toggled
        var signals: [ProcessSignal] = [.terminate, .interrupt, .hangUp]
        if endsOnQuit { signals.append(.quit) }
        if toggled != nil { signals.append(.user1) }
        watch = try SignalWatch(signals, loop: loop) { [unowned self] signal, origin in
            receive(signal, from: origin)
        }
    }

    private func receive(_ signal: ProcessSignal, from origin: SignalOrigin) {
        switch signal {
        case .user1: toggled?()
        case .hangUp where log.hasFile && !hasHungUp(origin): log.reopen()
        case .terminate, .interrupt, .hangUp, .quit: ended(signal)
        case .user2, .resume, .windowChange: break
        }
    }

    private func hasHungUp(_ origin: SignalOrigin) -> Bool {
        origin == .kernel || hadTerminal && !Terminal.isControlling
    }
}
