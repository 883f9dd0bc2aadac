import CLinux
import Glibc

/// A program's view of a kernel that was booted with ipv6.disable=1: it has no IPv6 sockets.
enum KernelWithoutIPv6 {
    /// The offsets of the call's number and of the low half of its first argument in
    /// `struct seccomp_data`.
    private static let (callOffset, familyOffset): (UInt32, UInt32) = (0, 16)

    /// Replaces this program with another one, for which and for whose children socket(2) fails
    /// with EAFNOSUPPORT for AF_INET6.
    static func run(_ command: [String]) -> Never {
        var filter = [
            load(callOffset), jumpUnless(UInt32(SYS_socket), 3), load(familyOffset),
            jumpUnless(UInt32(AF_INET6), 1),
            end(UInt32(SECCOMP_RET_ERRNO) | UInt32(EAFNOSUPPORT)), end(UInt32(SECCOMP_RET_ALLOW)),
        ]
        // Sound: the kernel copies the filter during the call.
        let result = filter.withUnsafeMutableBufferPointer { instructions in
            var program = sock_fprog(
                len: UInt16(instructions.count),
                filter: instructions.baseAddress
            )
            return withUnsafePointer(to: &program) { pointer in
                clinux_syscall(
                    Int(SYS_seccomp),
                    Int(SECCOMP_SET_MODE_FILTER),
                    0,
                    Int(bitPattern: pointer),
                    0
                )
            }
        }
        guard result == 0 else { fail("seccomp: \(String(cString: strerror(errno)))") }
        var arguments = command.map { strdup($0) } + [nil]
        execvp(command[0], &arguments)
        fail("\(command[0]): \(String(cString: strerror(errno)))")
    }

    private static func load(_ offset: UInt32) -> sock_filter {
        sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: offset)
    }

    private static func jumpUnless(_ value: UInt32, _ distance: UInt8) -> sock_filter {
        sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: 0, jf: distance, k: value)
    }

    private static func end(_ value: UInt32) -> sock_filter {
        sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: value)
    }
}
