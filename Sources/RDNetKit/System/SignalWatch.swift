internal import CLinux
internal import Glibc

/// Signals that the program reacts to, by the names people know.
enum ProcessSignal: CaseIterable, Equatable {
    case terminate
    case interrupt
    case hangUp
    case quit
    case user1
    case user2
    case resume
    case windowChange

    /// The kernel's number.
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

    /// `SIGTERM`, as manuals write it.
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

    /// Whether it asks a program to end.
    var asksToEnd: Bool {
        switch self {
        case .terminate, .interrupt, .hangUp, .quit: true
        case .user1, .user2, .resume, .windowChange: false
        }
    }
}

/// Where a signal comes from.
///
/// See sigaction(2), `si_code`.
enum SignalOrigin: Equatable {
    /// The kernel, such as a key of the terminal, which every process of the foreground group gets.
    case kernel
    /// A process, by its number; 0 for one of an outer process namespace.
    case process(Int32)
}

/// Signals as events of the loop: they are blocked and read from a descriptor.
///
/// A signal that the process ignores is neither blocked nor read: it stays ignored
/// (`SignalDisposition`). A child inherits the blocked set unless it is given another. See
/// signalfd(2).
final class SignalWatch: ReadinessObserver {
    private let signals: [ProcessSignal]
    private let descriptor: OwnedDescriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?
    private let received: (ProcessSignal, SignalOrigin) -> Void

    /// Blocks signals and watches for them.
    ///
    /// - Parameters:
    ///   - signals: Which.
    ///   - loop: Where they become events.
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
        var set = Self.block(self.signals)
        descriptor = OwnedDescriptor(
            adopting: try systemCall("signalfd") {
                signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
            }
        )
        watch = try loop.watch(descriptor.number, for: .readable, observer: self)
    }

    /// Blocks signals and watches for them, whatever their origin.
    convenience init(
        _ signals: [ProcessSignal],
        loop: EventLoop,
        received: @escaping (ProcessSignal) -> Void
    ) throws(SystemError) {
        try self.init(signals, loop: loop) { signal, _ in received(signal) }
    }

    /// Blocks signals, which then wait until a watch reads them.
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
        // Each number can wait only once, so this ends.
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
        // Codes above 0 are the kernel's own (SI_FROMUSER in the kernel's headers).
        let origin =
            info.ssi_code > 0
            ? SignalOrigin.kernel : .process(Int32(bitPattern: info.ssi_pid))
        return (Int32(bitPattern: info.ssi_signo), origin)
    }
}

/// Limits of the process.
enum ProcessLimits {
    private static let descriptorLimit = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)

    /// The limit that the process was started with; read before the first change.
    private static let initial = current

    private static var current: rlimit? {
        var limit = rlimit()
        return getrlimit(descriptorLimit, &limit) == 0 ? limit : nil
    }

    /// How many descriptors the process may have.
    ///
    /// See getrlimit(2).
    static var descriptors: Int {
        current.map { Int(clamping: $0.rlim_cur) } ?? 0
    }

    /// Raises the number of descriptors to all that is allowed: a flow takes one.
    ///
    /// See setrlimit(2).
    ///
    /// - Parameter wanted: Beyond what is allowed where privilege (CAP_SYS_RESOURCE) makes that
    ///   possible.
    /// - Returns: How many the process may have.
    @discardableResult
    static func raiseDescriptors(toAtLeast wanted: Int = 0) -> Int {
        guard var limit = initial else { return 0 }
        limit.rlim_cur = limit.rlim_max
        if limit.rlim_max < rlim_t(wanted) {
            var more = rlimit(rlim_cur: rlim_t(wanted), rlim_max: rlim_t(wanted))
            if setrlimit(descriptorLimit, &more) == 0 { return wanted }
        }
        // Refused only if the kernel's own ceiling fell since: the old limit stays, which is no
        // failure.
        _ = setrlimit(descriptorLimit, &limit)
        return Int(clamping: limit.rlim_cur)
    }

    /// Runs a call under the soft limit that the process was started with.
    ///
    /// A child must not inherit a raised one: a program that uses select(2) fails beyond 1,024
    /// descriptors.
    ///
    /// - Parameter body: Starts a child, and opens nothing.
    /// - Returns: What `body` returns.
    static func withInitialDescriptors<Result>(_ body: () -> Result) -> Result {
        guard let initial, var raised = current, raised.rlim_cur != initial.rlim_cur else {
            return body()
        }
        // Sound: this process has one thread, and open descriptors above the limit stay open.
        var lowered = rlimit(
            rlim_cur: min(initial.rlim_cur, raised.rlim_max),
            rlim_max: raised.rlim_max
        )
        _ = setrlimit(descriptorLimit, &lowered)
        defer { _ = setrlimit(descriptorLimit, &raised) }
        return body()
    }
}
