internal import CLinux
internal import Glibc

/// How a process ended.
enum ProcessEnd: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    /// Creates the end from the status of waitpid(2) for a process that has ended.
    init(waitStatus status: Int32) {
        let signal = status & 0x7f
        self = signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: signal)
    }

    /// The status by which a shell reports the end: after a signal, 128 plus its number.
    var shellStatus: Int32 {
        switch self {
        case .exited(let status): status
        case .killed(let signal): 128 + signal
        }
    }

    /// `exit status 3`, `killed by signal 9`.
    var description: String {
        switch self {
        case .exited(let status): "exit status \(status)"
        case .killed(let signal): "killed by signal \(signal)"
        }
    }
}

/// A child program whose end is reported by the event loop.
///
/// The child gets an empty signal mask, and default actions for all signals except those that this
/// process ignores. It inherits only the descriptors named in the command: all others are
/// close-on-exec. The loop retains this object until the program has ended. If the object is
/// destroyed earlier, the program is killed. See posix_spawn(3), pidfd_open(2).
final class ChildProcess: ReadinessObserver {
    /// A program with its arguments, environment and descriptors.
    struct Command {
        /// The program's path; PATH is not searched.
        var path: String
        /// The arguments after the program's name.
        var arguments: [String] = []
        /// `NAME=value`; the program inherits no other variables.
        var environment: [String] = []
        /// The caller's descriptors that become the program's descriptors, from 0 on.
        ///
        /// An entry of nil inherits 0, 1 or 2, and leaves any other number closed.
        var descriptors: [Int32?] = []
        /// Whether standard input is empty (/dev/null).
        var readsNothing = false
        /// Whether the program leads a new process group; not for a program that uses the terminal.
        ///
        /// `terminate` then ends the program's children too.
        var leadsGroup = false
        /// Whether the rest of the group is also killed when the program ends by itself.
        var endsGroup = false

        /// Sets an environment variable; nil removes it.
        mutating func set(_ variable: String, to value: String?) {
            environment.removeAll { $0.hasPrefix(variable + "=") }
            if let value { environment.append("\(variable)=\(value)") }
        }
    }

    /// The process ID; the kernel does not reuse it before the end has been reported.
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
    ///   - loop: The loop that waits for the end.
    ///   - ended: Called once by the loop when the program has ended.
    /// - Throws: `SystemError` if the program cannot be started: ENOENT, EACCES, …
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

    /// Creates the object for a child that already runs.
    ///
    /// - Parameters:
    ///   - process: The ID of a child that has not been waited for.
    ///   - leadsGroup: Whether the child leads a process group.
    ///   - endsGroup: Whether the rest of that group is killed when the child ends.
    ///   - loop: The loop that waits for the end.
    ///   - ended: Called once by the loop when the child has ended.
    /// - Throws: `SystemError`; the child is then killed.
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
        // If this throws, the object is complete and deinit kills the child.
        watch = try loop.watch(descriptor.number, for: .readable, observer: self)
    }

    deinit {
        guard ended != nil else { return }
        send(signal: SIGKILL)
        Self.destroy(process)
    }

    /// Sends a signal; does nothing if the program has ended.
    ///
    /// It uses the child's descriptor, so that a sandbox can forbid kill(2). See
    /// pidfd_send_signal(2).
    func send(signal: Int32) {
        if ended != nil { _ = pidfd_send_signal(descriptor.number, signal, nil, 0) }
    }

    /// Kills the program, and its group if it leads one.
    func terminate() {
        // Sound: as above; the group's ID is not reused before its leader has been waited for.
        if leadsGroup, ended != nil { _ = kill(-process, SIGKILL) }
        send(signal: SIGKILL)
    }

    /// Kills the program, and its group if it leads one, and waits for the program's end.
    ///
    /// The wait takes only as long as the kernel's cleanup. `ended` is not called.
    func end() {
        guard ended != nil else { return }
        terminate()
        forgetWatch()
        ended = nil
        Self.destroy(process)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        // Sound: the group's ID is not reused before its leader has been waited for.
        if endsGroup { _ = kill(-process, SIGKILL) }
        var status: Int32 = 0
        let process = process
        let end: ProcessEnd
        do throws(SystemError) {
            guard try systemCall("waitpid", { waitpid(process, &status, WNOHANG) }) != 0 else {
                return
            }
            end = ProcessEnd(waitStatus: status)
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

    /// Kills and waits, which takes only as long as the kernel's cleanup.
    private static func destroy(_ process: pid_t) {
        _ = kill(process, SIGKILL)
        while waitpid(process, nil, 0) == -1, errno == EINTR {}
    }

    // MARK: posix_spawn

    private static func spawn(_ command: Command) throws(SystemError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The copies have numbers above the program's own: a source may have the number of another
        // target.
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
            // Opened here: the child has a lower limit, and may have no free number below it.
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
        // The group ID in the attributes is 0, which means the child's own process ID.
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

    /// Passes strings to a closure as a C array of C strings with a null pointer at the end.
    private static func withTexts(
        _ texts: [String],
        _ body: ([UnsafeMutablePointer<CChar>?]) -> Int32
    ) -> Int32 {
        let pointers = texts.map { strdup($0) }
        defer { pointers.forEach { free($0) } }
        return body(pointers + [nil])
    }
}
