internal import CLinux
internal import Glibc

/// Signals that the program handles, by their familiar names.
enum ProcessSignal: CaseIterable, Equatable {
    case terminate
    case interrupt
    case hangUp
    case quit
    case user1
    case user2
    case resume
    case windowChange

    /// The signal number.
    var number: Int32 {
        switch self {
        case .terminate: SIGTERM
        case .interrupt: SIGINT
        case .hangUp: SIGHUP
        case .quit: SIGQUIT
        case .user1: SIGUSR1
        case .user2: SIGUSR2
        case .resume: SIGCONT
        case .windowChange: SIGWINCH
        }
    }

    /// The name in manuals, such as `SIGTERM`.
    var name: String {
        switch self {
        case .terminate: "SIGTERM"
        case .interrupt: "SIGINT"
        case .hangUp: "SIGHUP"
        case .quit: "SIGQUIT"
        case .user1: "SIGUSR1"
        case .user2: "SIGUSR2"
        case .resume: "SIGCONT"
        case .windowChange: "SIGWINCH"
        }
    }

    /// Whether the signal requests that the program end.
    var asksToEnd: Bool {
        switch self {
        case .terminate, .interrupt, .hangUp, .quit: true
        case .user1, .user2, .resume, .windowChange: false
        }
    }
}

/// The origin of a signal.
///
/// See sigaction(2), `si_code`.
enum SignalOrigin: Equatable {
    /// The kernel, such as for Ctrl-C, which signals every process in the terminal's foreground
    /// group.
    case kernel
    /// A process ID; 0 for a process in an outer PID namespace.
    case process(Int32)
}

/// Signals as events of the loop: they are blocked and then read from a descriptor.
///
/// An ignored signal is neither blocked nor read; it stays ignored (`SignalDisposition`). A child
/// inherits the blocked set unless it gets a different one. See signalfd(2).
final class SignalWatch: ReadinessObserver {
    private let signals: [ProcessSignal]
    private let descriptor: OwnedDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?
    private let received: (ProcessSignal, SignalOrigin) -> Void

    /// Blocks signals and watches for them.
    ///
    /// - Parameters:
    ///   - signals: The signals to watch.
    ///   - loop: The loop that delivers them as events.
    ///   - received: Receives each signal and its origin.
    /// - Throws: `SystemError`.
    init(
        _ signals: [ProcessSignal],
        loop: EventLoop,
        received: @escaping (ProcessSignal, SignalOrigin) -> Void
    ) throws(SystemError) {
        self.signals = signals.filter { !SignalDisposition.isIgnored($0.number) }
        self.loop = loop
        self.received = received
        descriptor = try Self.descriptor(of: self.signals)
        watch = try loop.watch(descriptor.number, for: .readable, observer: self)
    }

    /// Blocks signals and watches for them, regardless of their origin.
    convenience init(
        _ signals: [ProcessSignal],
        loop: EventLoop,
        received: @escaping (ProcessSignal) -> Void
    ) throws(SystemError) {
        try self.init(signals, loop: loop) { signal, _ in received(signal) }
    }

    /// Blocks signals and returns a descriptor that reads them; an ignored signal stays ignored.
    ///
    /// See signalfd(2).
    static func descriptor(of signals: [ProcessSignal]) throws(SystemError) -> OwnedDescriptor {
        var set = block(signals)
        return OwnedDescriptor(
            adopting: try systemCall("signalfd") {
                signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
            }
        )
    }

    /// Blocks signals; they stay pending until a watch reads them.
    ///
    /// See sigprocmask(2).
    @discardableResult
    static func block(_ signals: [ProcessSignal]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals where !SignalDisposition.isIgnored(signal.number) {
            sigaddset(&set, signal.number)
        }
        sigprocmask(SIG_BLOCK, &set, nil)
        return set
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        // Each standard signal can be pending only once, so this loop ends.
        while let (number, origin) = next() {
            if let signal = signals.first(where: { $0.number == number }) {
                received(signal, origin)
            }
        }
    }

    private func next() -> (number: Int32, origin: SignalOrigin)? {
        var info = signalfd_siginfo()
        let length = MemoryLayout<signalfd_siginfo>.size
        guard read(descriptor.number, &info, length) == length else { return nil }
        // Codes above 0 come from the kernel (SI_FROMUSER in the kernel's headers).
        let origin =
            info.ssi_code > 0
            ? SignalOrigin.kernel : .process(Int32(bitPattern: info.ssi_pid))
        return (Int32(bitPattern: info.ssi_signo), origin)
    }
}

/// The resource limits of the process.
enum ProcessLimits {
    private static let descriptorLimit = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)

    /// The limit at the start of the process; read before the first change.
    private static let initial = current

    private static var current: rlimit? {
        var limit = rlimit()
        return getrlimit(descriptorLimit, &limit) == 0 ? limit : nil
    }

    /// The maximum number of descriptors of the process.
    ///
    /// See getrlimit(2).
    static var descriptors: Int {
        current.map { Int(clamping: $0.rlim_cur) } ?? 0
    }

    /// Raises the soft limit on descriptors to the hard limit, because each flow needs one.
    ///
    /// See setrlimit(2).
    ///
    /// - Parameter wanted: A number to reach even above the hard limit, if privilege
    ///   (CAP_SYS_RESOURCE) allows.
    /// - Returns: The new maximum number of descriptors; 0 when it cannot be read.
    @discardableResult
    static func raiseDescriptors(toAtLeast wanted: Int = 0) -> Int {
        guard var limit = initial else { return 0 }
        limit.rlim_cur = limit.rlim_max
        if limit.rlim_max < rlim_t(wanted) {
            var more = rlimit(rlim_cur: rlim_t(wanted), rlim_max: rlim_t(wanted))
            if setrlimit(descriptorLimit, &more) == 0 { return wanted }
        }
        // The kernel refuses this only if its own maximum was lowered since the start. Then the old
        // limit stays, which is not an error.
        _ = setrlimit(descriptorLimit, &limit)
        return descriptors
    }

    /// Runs a closure under the soft limit from the start of the process.
    ///
    /// A child must not inherit a raised limit: a program that uses select(2) fails above 1,024
    /// descriptors.
    ///
    /// - Parameter body: Starts a child and opens no descriptor.
    /// - Returns: What `body` returns.
    static func withInitialDescriptors<Result>(_ body: () -> Result) -> Result {
        guard let initial, var raised = current, raised.rlim_cur != initial.rlim_cur else {
            return body()
        }
        // Sound: this process has one thread, and descriptors above the limit stay open.
        var lowered = rlimit(
            rlim_cur: min(initial.rlim_cur, raised.rlim_max),
            rlim_max: raised.rlim_max
        )
        _ = setrlimit(descriptorLimit, &lowered)
        defer { _ = setrlimit(descriptorLimit, &raised) }
        return body()
    }
}
