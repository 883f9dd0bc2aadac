internal import CLinux
internal import Glibc

/// How a process ended.
enum ProcessEnd: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    /// `exit status 3`, `killed by signal 9`.
    var description: String {
        switch self {
        case .exited(let status): "exit status \(status)"
        case .killed(let signal): "killed by signal \(signal)"
        }
    }
}

/// A program that runs beside the loop, and is waited for by it.
///
/// The child gets an empty signal mask, and default signal actions except for the signals that this
/// process ignores. Of the descriptors it gets only those named here: all others are close-on-exec.
/// The loop keeps this object until the program has ended. A program that still runs when this
/// object goes away is killed. See posix_spawn(3), pidfd_open(2).
final class ChildProcess: ReadinessObserver {
    /// What to run.
    struct Command {
        /// A path; it is not looked for in PATH.
        var path: String
        /// What comes after the program's name.
        var arguments: [String] = []
        /// `NAME=value`; nothing is inherited but what stands here.
        var environment: [String] = []
        /// What the program's descriptors are, from 0 on, by the caller's numbers.
        ///
        /// Nil inherits 0, 1 or 2, and leaves any other closed.
        var descriptors: [Int32?] = []
        /// Whether standard input is empty (/dev/null).
        var readsNothing = false
        /// Whether it leads a process group of its own; not for a program that uses the terminal.
        ///
        /// `terminate` then ends the program's children too.
        var leadsGroup = false
        /// Whether the rest of its group ends when it ends by itself, too.
        var endsGroup = false

        /// Sets a variable of the environment; nil removes it.
        mutating func set(_ variable: String, to value: String?) {
            environment.removeAll { $0.hasPrefix(variable + "=") }
            if let value { environment.append("\(variable)=\(value)") }
        }
    }

    /// Its number; the kernel gives it to nobody else before the program's end was told.
    let process: Int32
    private let loop: EventLoop
    private let leadsGroup: Bool
    private let endsGroup: Bool
    private let descriptor: OwnedDescriptor
    private var watch: EventLoop.Watch?
    private var ended: ((ProcessEnd, Instant) -> Void)?

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - command: What to run.
    ///   - loop: Waits for the end.
    ///   - ended: Called once, by the loop, when the program has ended.
    /// - Throws: `SystemError` when it cannot be started: ENOENT, EACCES, …
    convenience init(
        _ command: Command,
        on loop: EventLoop,
        ended: @escaping (ProcessEnd, Instant) -> Void
    ) throws(SystemError) {
        let process = try Self.spawn(command)
        try self.init(
            adopting: process,
            leadsGroup: command.leadsGroup,
            endsGroup: command.endsGroup,
            on: loop,
            ended: ended
        )
    }

    /// Waits for a child that runs already.
    ///
    /// - Parameters:
    ///   - process: Not waited for yet.
    ///   - leadsGroup: Whether it leads a process group.
    ///   - endsGroup: Whether the rest of that group ends with it.
    ///   - loop: Waits for the end.
    ///   - ended: Called once, by the loop, when the child has ended.
    /// - Throws: `SystemError`; the child is killed then.
    init(
        adopting process: Int32,
        leadsGroup: Bool = false,
        endsGroup: Bool = false,
        on loop: EventLoop,
        ended: @escaping (ProcessEnd, Instant) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.ended = ended
        self.leadsGroup = leadsGroup
        self.endsGroup = leadsGroup && endsGroup
        do {
            let number = try systemCall("pidfd_open") { pidfd_open(process, 0) }
            descriptor = OwnedDescriptor(adopting: number)
        } catch {
            Self.destroy(process)
            throw error
        }
        self.process = process
        // Should this throw, the object is complete and deinit ends the child.
        watch = try loop.watch(descriptor.number, for: .readable, observer: self)
    }

    deinit {
        if ended != nil { Self.destroy(process) }
    }

    /// Sends a signal; nothing happens when the program has ended.
    ///
    /// See kill(2).
    func send(signal: Int32) {
        // Sound: the process is a child that was not waited for, so its number is not another's.
        if ended != nil { _ = kill(process, signal) }
    }

    /// Ends the program, and the group that it leads, at once.
    func terminate() {
        // Sound: as above; a group keeps its number as long as its leader was not waited for.
        if leadsGroup, ended != nil { _ = kill(-process, SIGKILL) }
        send(signal: SIGKILL)
    }

    /// Ends the program, and the group that it leads, and waits until it can do nothing any more.
    ///
    /// The wait is as short as a kernel's clean-up. `ended` is not called.
    func end() {
        guard ended != nil else { return }
        terminate()
        forgetWatch()
        ended = nil
        Self.destroy(process)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        // Sound: the group keeps its number until its leader was waited for.
        if endsGroup { _ = kill(-process, SIGKILL) }
        var status: Int32 = 0
        let process = process
        let end: ProcessEnd
        do throws(SystemError) {
            guard try systemCall("waitpid", { waitpid(process, &status, WNOHANG) }) != 0 else {
                return
            }
            end = Self.end(status)
        } catch {
            // ECHILD: SIGCHLD is ignored in this process, and the status is lost.
            end = .exited(-1)
        }
        forgetWatch()
        let ended = self.ended
        self.ended = nil
        ended?(end, now)
    }

    private func forgetWatch() {
        if let watch { loop.forget(watch) }
        watch = nil
    }

    private static func end(_ status: Int32) -> ProcessEnd {
        let signal = status & 0x7f
        return signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: signal)
    }

    /// Kills and waits; the wait is as short as a kernel's clean-up.
    private static func destroy(_ process: pid_t) {
        _ = kill(process, SIGKILL)
        while waitpid(process, nil, 0) == -1, errno == EINTR {}
    }

    // MARK: posix_spawn

    private static func spawn(_ command: Command) throws(SystemError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Copies above the program's own: a source may have a number that another one is to get.
        var copies: [Int32] = []
        defer { copies.forEach { _ = close($0) } }
        for (target, source) in command.descriptors.enumerated() {
            guard let source else { continue }
            let lowest = max(Int32(command.descriptors.count), STDERR_FILENO + 1)
            let copy = try systemCall("fcntl(F_DUPFD_CLOEXEC)") {
                fcntl(source, F_DUPFD_CLOEXEC, lowest)
            }
            copies.append(copy)
            posix_spawn_file_actions_adddup2(&actions, copy, Int32(target))
        }
        if command.readsNothing {
            // Opened here: the child has a lower limit, and may have no number left below it.
            let empty = try systemCall("open /dev/null") { open("/dev/null", O_RDONLY | O_CLOEXEC) }
            copies.append(empty)
            posix_spawn_file_actions_adddup2(&actions, empty, STDIN_FILENO)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        signals = SignalDisposition.childDefaults
        posix_spawnattr_setsigdefault(&attributes, &signals)
        var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        // The group's number is 0: the process's own.
        if command.leadsGroup { flags |= POSIX_SPAWN_SETPGROUP }
        posix_spawnattr_setflags(&attributes, Int16(truncatingIfNeeded: Int(flags)))
        var process: pid_t = 0
        let code = withTexts([command.path] + command.arguments) { arguments in
            withTexts(command.environment) { environment in
                ProcessLimits.withInitialDescriptors {
                    posix_spawn(
                        &process,
                        command.path,
                        &actions,
                        &attributes,
                        arguments,
                        environment
                    )
                }
            }
        }
        guard code == 0 else { throw SystemError(call: "run \(command.path)", errno: code) }
        return process
    }

    /// Lends texts as a C array of C strings that ends with a null pointer.
    private static func withTexts(
        _ texts: [String],
        _ body: ([UnsafeMutablePointer<CChar>?]) -> Int32
    ) -> Int32 {
        let pointers = texts.map { strdup($0) }
        defer { pointers.forEach { free($0) } }
        return body(pointers + [nil])
    }
}
