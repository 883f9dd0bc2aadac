import CLinux
import Testing

@testable import RDNetKit

/// The filter's program, run by an interpreter of classic BPF (linux/filter.h).
@Suite("system call filter")
struct SystemCallFilterTests {
    private static let allow = UInt32(SECCOMP_RET_ALLOW)
    private static let trap = UInt32(SECCOMP_RET_TRAP)

    /// Returns the filter's action for a call on this machine.
    private func action(
        _ filter: SystemCallFilter,
        _ number: Int,
        _ arguments: [UInt64] = [],
        architecture: UInt32? = nil
    ) throws -> UInt32 {
        #if arch(x86_64)
        let native: UInt32 = 62 | 0xc000_0000
        #else
        let native: UInt32 = 183 | 0xc000_0000
        #endif
        var words = [UInt32(truncatingIfNeeded: number), architecture ?? native, 0, 0]
        for argument in arguments + [UInt64](repeating: 0, count: 6 - arguments.count) {
            words += [UInt32(truncatingIfNeeded: argument), UInt32(argument >> 32)]
        }
        let program = filter.instructions
        var (index, accumulator) = (0, UInt32(0))
        while true {
            let step = program[index]
            index += 1
            switch Int32(step.code) {
            case BPF_LD | BPF_W | BPF_ABS: accumulator = words[Int(step.k) / 4]
            case BPF_RET | BPF_K: return step.k
            case BPF_JMP | BPF_JA: index += Int(step.k)
            case BPF_JMP | BPF_JEQ | BPF_K:
                index += Int(accumulator == step.k ? step.jt : step.jf)
            case BPF_JMP | BPF_JGE | BPF_K:
                index += Int(accumulator >= step.k ? step.jt : step.jf)
            case BPF_JMP | BPF_JGT | BPF_K:
                index += Int(accumulator > step.k ? step.jt : step.jf)
            case BPF_JMP | BPF_JSET | BPF_K:
                index += Int(accumulator & step.k != 0 ? step.jt : step.jf)
            default: throw SystemError(call: "unknown instruction \(step.code)", errno: 0)
            }
        }
    }

    @Test func `exactly the calls of the set are allowed, whatever the set`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        for size in [0, 1, 2, 3, 10, 100, 300] {
            let calls = Set((0..<size).map { _ in Int.random(in: 0..<460, using: &random) })
            let filter = SystemCallFilter(allowed: calls, conditions: [:])
            for number in Array(0..<600) + [0x4000_0000, 0x4000_0001, Int(UInt32.max)] {
                let isAllowed = try action(filter, number) == Self.allow
                #expect(isAllowed == calls.contains(number), "call \(number), seed \(seed)")
            }
        }
    }

    @Test func `a condition decides before the set does`() throws {
        let filter = SystemCallFilter(
            allowed: [1, 41, 42],
            conditions: [
                41: .oneOf(argument: 0, [2, 10, 16]), 9: .without(argument: 2, 4),
            ]
        )
        for family in UInt64(0)..<50 {
            let expected = [2, 10, 16].contains(family) ? Self.allow : Self.trap
            #expect(try action(filter, 41, [family]) == expected)
        }
        for protection in UInt64(0)..<8 {
            let expected = protection & 4 == 0 ? Self.allow : Self.trap
            #expect(try action(filter, 9, [0, 0, protection]) == expected)
        }
        #expect(try action(filter, 42) == Self.allow)
        #expect(try action(filter, 43) == Self.trap)
    }

    @Test func `of several conditions each must hold`() throws {
        let filter = SystemCallFilter(
            allowed: [1],
            conditions: [
                9: .all([.oneOf(argument: 0, [5, 6]), .without(argument: 1, 4)])
            ]
        )
        for (first, second) in [(5, 0), (6, 3), (5, 4), (7, 0), (7, 4)] as [(UInt64, UInt64)] {
            let isAllowed = first != 7 && second != 4
            #expect(try action(filter, 9, [first, second]) == (isAllowed ? Self.allow : Self.trap))
        }
        #expect(try action(filter, 1) == Self.allow)
    }

    @Test func `the broker's filter changes no mode by path, and the group of an open file only`()
        throws
    {
        let empty = UInt64(CLINUX_AT_EMPTY_PATH)
        let unchanged = UInt64(UInt32.max)
        let own = SandboxCalls.broker()
        #expect(try action(own, Int(SYS_fchownat), [3, 0, unchanged, 7, empty]) == Self.trap)
        let filter = SandboxCalls.broker(givingTo: [7, 9])
        for call in [SYS_fchmodat, SYS_fchown, SYS_execve, SYS_ptrace, SYS_setgroups, SYS_setgid] {
            #expect(try action(filter, Int(call)) == Self.trap, "call \(call)")
        }
        let cases: [(arguments: [UInt64], isAllowed: Bool)] = [
            ([unchanged, 7, empty], true), ([unchanged, 9, empty], true),
            ([unchanged, 8, empty], false), ([0, 7, empty], false), ([unchanged, 7, 0], false),
        ]
        for (arguments, isAllowed) in cases {
            let result = try action(filter, Int(SYS_fchownat), [3, 0] + arguments)
            #expect(result == (isAllowed ? Self.allow : Self.trap), "\(arguments)")
        }
    }

    @Test func `another architecture's calls end the process`() throws {
        let filter = SystemCallFilter(allowed: [1], conditions: [:])
        // AUDIT_ARCH_I386, whose numbers mean other calls.
        let action = try action(filter, 1, architecture: 0x4000_0003)
        #expect(action == UInt32(SECCOMP_RET_KILL_PROCESS))
    }

    @Test func `the roles' filters are short enough for the kernel, and refuse what they must`()
        throws
    {
        let filter = SandboxCalls.service(1, maySignal: true)
        #expect(filter.instructions.count < Int(BPF_MAXINSNS))
        for call in [
            SYS_execve, SYS_ptrace, SYS_kill, SYS_bpf, SYS_mount, SYS_setns, SYS_unshare,
            SYS_clone, SYS_fchmodat, SYS_fchownat, SYS_setresuid, SYS_process_vm_readv,
            SYS_init_module, SYS_keyctl, SYS_perf_event_open, SYS_userfaultfd,
        ] {
            #expect(try action(filter, Int(call)) == Self.trap, "call \(call)")
        }
    }
}
