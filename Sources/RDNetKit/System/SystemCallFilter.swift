internal import CLinux
internal import Glibc

/// A seccomp filter: the system calls that the process may make from now on.
///
/// Any other call fails with EPERM. The kernel tells the process, so a forgotten call shows in the
/// log instead of ending the program. See seccomp(2), SECCOMP_RET_TRAP.
struct SystemCallFilter {
    /// A condition on an argument of a call; without it the call fails.
    enum Condition: Equatable {
        /// The low 32 bits of an argument are one of these.
        case oneOf(argument: Int, [UInt32])
        /// None of these bits is set in an argument.
        case without(argument: Int, UInt32)
        /// Each of these conditions holds.
        indirect case all([Condition])
    }

    /// Calls that are allowed with any arguments.
    var allowed: Set<Int>
    /// Calls that are allowed under a condition.
    var conditions: [Int: Condition]

    /// The architecture of this program's system calls.
    ///
    /// See linux/audit.h.
    private static var architecture: UInt32 {
        #if arch(x86_64)
        0xc000_003e
        #elseif arch(arm64)
        0xc000_00b7
        #else
        #error("the number of the architecture in linux/audit.h is needed here")
        #endif
    }

    /// The offsets in `struct seccomp_data`; arguments are little-endian 64-bit words.
    private enum Offset {
        static let number: UInt32 = 0
        static let architecture: UInt32 = 4
        static func argument(_ index: Int) -> UInt32 { UInt32(16 + 8 * index) }
    }

    /// Enforces the filter for this thread and its children, for good.
    ///
    /// The process must have no new privileges before.
    ///
    /// - Throws: `SystemError`; EINVAL from a kernel without seccomp filters.
    func enforce() throws(SystemError) {
        var program = instructions
        let count = program.count
        let result = program.withUnsafeMutableBufferPointer { buffer in
            var header = sock_fprog(len: UInt16(count), filter: buffer.baseAddress)
            return withUnsafePointer(to: &header) { pointer in
                clinux_syscall(
                    Int(SYS_seccomp),
                    Int(SECCOMP_SET_MODE_FILTER),
                    0,
                    Int(bitPattern: pointer),
                    0
                )
            }
        }
        guard result == 0 else { throw SystemError(call: "seccomp", errno: errno) }
    }

    /// Enforces the filter if the kernel has seccomp filters.
    ///
    /// - Returns: Whether it has.
    /// - Throws: `SystemError`.
    @discardableResult
    func enforceIfSupported() throws(SystemError) -> Bool {
        do {
            try enforce()
            return true
        } catch {
            guard error.errno == EINVAL || error.errno == ENOSYS else { throw error }
            return false
        }
    }

    /// The filter in the kernel's classic BPF.
    ///
    /// See linux/filter.h.
    var instructions: [sock_filter] {
        var program = [
            Self.load(Offset.architecture),
            Self.jump(BPF_JEQ, Self.architecture, 1, 0),
            Self.end(UInt32(SECCOMP_RET_KILL_PROCESS)),
            Self.load(Offset.number),
        ]
        for (number, condition) in conditions.sorted(by: { $0.key < $1.key }) {
            let check = Self.check(condition)
            program.append(Self.jump(BPF_JEQ, UInt32(number), 0, UInt8(check.count)))
            program += check
        }
        return program + Self.tree(ranges[...])
    }

    /// The numbers of the allowed calls as few ranges, in ascending order.
    private var ranges: [ClosedRange<Int>] {
        var ranges: [ClosedRange<Int>] = []
        for number in allowed.sorted() {
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges
    }

    /// A search by halves: the kernel runs it for every call that it has not seen to be allowed.
    private static func tree(_ ranges: ArraySlice<ClosedRange<Int>>) -> [sock_filter] {
        guard let first = ranges.first else { return [refuse] }
        guard ranges.count > 1 else {
            return [
                jump(BPF_JGE, UInt32(first.lowerBound), 0, 1),
                jump(BPF_JGT, UInt32(first.upperBound), 0, 1),
                refuse,
                end(UInt32(SECCOMP_RET_ALLOW)),
            ]
        }
        let middle = ranges.startIndex + ranges.count / 2
        let (left, right) = (tree(ranges[..<middle]), tree(ranges[middle...]))
        let start = UInt32(ranges[middle].lowerBound)
        // A conditional jump reaches 255 instructions only, an unconditional one any.
        let skip = sock_filter(
            code: UInt16(BPF_JMP | BPF_JA),
            jt: 0,
            jf: 0,
            k: UInt32(left.count)
        )
        return [jump(BPF_JGE, start, 0, 1), skip] + left + right
    }

    private static func check(_ condition: Condition) -> [sock_filter] {
        requirement(condition) + [end(UInt32(SECCOMP_RET_ALLOW))]
    }

    /// Refuses the call, or continues after the last instruction.
    private static func requirement(_ condition: Condition) -> [sock_filter] {
        switch condition {
        case .oneOf(let argument, let values):
            let tests = values.enumerated().map { index, value in
                jump(BPF_JEQ, value, UInt8(values.count - index), 0)
            }
            return [load(Offset.argument(argument))] + tests + [refuse]
        case .without(let argument, let bits):
            return [load(Offset.argument(argument)), jump(BPF_JSET, bits, 0, 1), refuse]
        case .all(let conditions):
            return conditions.flatMap(requirement)
        }
    }

    private static let refuse = end(UInt32(SECCOMP_RET_TRAP))

    private static func load(_ offset: UInt32) -> sock_filter {
        sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: offset)
    }

    private static func jump(
        _ test: Int32,
        _ value: UInt32,
        _ whenTrue: UInt8,
        _ whenFalse: UInt8
    ) -> sock_filter {
        sock_filter(code: UInt16(BPF_JMP | test | BPF_K), jt: whenTrue, jf: whenFalse, k: value)
    }

    private static func end(_ action: UInt32) -> sock_filter {
        sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: action)
    }
}

/// Reports the system calls that the filter has refused, one event for each kind of call.
///
/// The kernel sends SIGSYS for a refused call. The handler lets the call fail with EPERM and writes
/// its number to a pipe, which the loop reads: a handler can do little else (signal-safety(7)).
final class RefusedCalls: ReadinessObserver {
    /// The pipe's end for the handler; read-only once the handler is installed.
    nonisolated(unsafe) private static var reports: Int32 = -1

    private let reader: OwnedDescriptor
    private let loop: EventLoop
    private let report: (Int) -> Void
    private var reported: Set<Int> = []
    private var watch: EventLoop.Watch?

    /// Installs the handler, which warns in a log.
    ///
    /// - Parameters:
    ///   - log: The log.
    ///   - process: Which of the program's processes this is; empty for the main one.
    ///   - loop: The loop that reports.
    /// - Throws: `SystemError`.
    convenience init(
        warning log: Logger,
        of process: String = "",
        loop: EventLoop
    ) throws(SystemError) {
        try self.init(loop: loop) { number in
            let message = "the sandbox refused a system call"
            let help = "rdnet-security(7)"
            if process.isEmpty {
                log.warning(message, ["number": "\(number)", "help": help])
            } else {
                log.warning(message, ["number": "\(number)", "process": process, "help": help])
            }
        }
    }

    /// Installs the handler.
    ///
    /// - Parameters:
    ///   - loop: The loop that reports.
    ///   - report: Called with the number of a call, the first time that it is refused.
    /// - Throws: `SystemError`.
    init(loop: EventLoop, report: @escaping (Int) -> Void) throws(SystemError) {
        self.loop = loop
        self.report = report
        var ends: [Int32] = [0, 0]
        try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC | O_NONBLOCK) }
        reader = OwnedDescriptor(adopting: ends[0])
        Self.reports = ends[1]
        var action = sigaction()
        action.__sigaction_handler.sa_sigaction = { _, info, context in
            RefusedCalls.handle(UnsafeRawPointer(info), context)
        }
        action.sa_flags = SA_SIGINFO
        try systemCall("sigaction(SIGSYS)") { sigaction(SIGSYS, &action, nil) }
        watch = try loop.watch(reader.number, for: .readable, observer: self)
    }

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        var numbers = [Int32](repeating: 0, count: 64)
        let size = numbers.count * MemoryLayout<Int32>.size
        let count = read(reader.number, &numbers, size)
        guard count > 0 else { return }
        for number in numbers[..<(count / MemoryLayout<Int32>.size)].map(Int.init)
        where reported.insert(number).inserted {
            report(number)
        }
    }

    /// Runs in the signal handler.
    private static func handle(_ info: UnsafeRawPointer?, _ context: UnsafeMutableRawPointer?) {
        guard let info, let context else { return }
        // Sound: the kernel passes a siginfo_t and a ucontext_t, whose layouts are fixed.
        // si_syscall follows si_signo, si_errno, si_code, padding and si_call_addr.
        var number = info.load(fromByteOffset: 24, as: Int32.self)
        #if arch(x86_64)
        // uc_mcontext starts at 40, and its register 13 is RAX.
        let result = 40 + 13 * 8
        #elseif arch(arm64)
        // uc_mcontext starts at 176; fault_address precedes the registers, of which X0 is first.
        let result = 176 + 8
        #endif
        context.storeBytes(of: Int(-EPERM), toByteOffset: result, as: Int.self)
        _ = write(reports, &number, MemoryLayout<Int32>.size)
    }
}
