/// Handles the signals of a long-running role.
///
/// SIGTERM and SIGINT end the role. SIGHUP from a process, such as logrotate, reopens the log file.
/// SIGHUP ends the role if it has no log file or if its terminal hung up: then the kernel sends the
/// signal, or a shell that passes it on. A signal that was ignored at the start stays ignored.
final class RoleSignals {
    /// The signals that every role handles.
    static let always: [ProcessSignal] = [.terminate, .interrupt, .hangUp]

    private let log: Logger
    private let ended: (ProcessSignal) -> Void
    private let toggled: (() -> Void)?
    private let reopened: () -> Void
    private let terminal = ControllingTerminal()
    private let hadTerminal: Bool
    private var watch: SignalWatch?

    /// Starts handling signals.
    ///
    /// - Parameters:
    ///   - log: The logger whose file to reopen.
    ///   - loop: Delivers signals as events.
    ///   - endsOnQuit: Whether SIGQUIT also ends the role in an orderly way.
    ///   - toggled: Called for SIGUSR1; nil ignores the signal.
    ///   - reopened: Called after the log file was opened again.
    ///   - ended: Called when a signal ends the role.
    /// - Throws: `SystemError`.
    init(
        log: Logger,
        loop: EventLoop,
        endsOnQuit: Bool = false,
        toggled: (() -> Void)? = nil,
        reopened: @escaping () -> Void = {},
        ended: @escaping (ProcessSignal) -> Void
    ) throws(SystemError) {
        self.log = log
        hadTerminal = terminal.isPresent
        self.ended = ended
        self.toggled = toggled
        self.reopened = reopened
        var signals = Self.always
        if endsOnQuit { signals.append(.quit) }
        if toggled != nil { signals.append(.user1) }
        watch = try SignalWatch(signals, loop: loop) { [unowned self] signal, origin in
            receive(signal, from: origin)
        }
    }

    private func receive(_ signal: ProcessSignal, from origin: SignalOrigin) {
        switch signal {
        case .user1: toggled?()
        case .hangUp where log.hasFile && !hasHungUp(origin):
            log.reopen()
            reopened()
        case .terminate, .interrupt, .hangUp, .quit: ended(signal)
        case .user2, .resume, .windowChange: break
        }
    }

    private func hasHungUp(_ origin: SignalOrigin) -> Bool {
        origin == .kernel || hadTerminal && !terminal.isPresent
    }
}
