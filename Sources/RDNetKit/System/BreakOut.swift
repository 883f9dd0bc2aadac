internal import CLinux
internal import Glibc

/// What an attacker who controls this process would try.
///
/// Where an attempt succeeds, it changes nothing but this process, which should then exit.
enum BreakOut {
    static let openPacketSocket = "open a packet socket"

    /// Makes every attempt.
    ///
    /// - Returns: Each attempt's name, and the error that stopped it; nil if nothing did.
    static func attempts() -> [(name: String, error: SystemError?)] {
        [
            ("read /etc/shadow", descriptor { open("/etc/shadow", O_RDONLY | O_CLOEXEC) }),
            ("list /etc", descriptor { open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }),
            ("create a file in /tmp", createFile()),
            ("read another process's memory", descriptor { open("/proc/1/mem", O_RDONLY) }),
            ("run a program", runProgram()),
            ("trace a process", attempt { clinux_syscall(Int(SYS_ptrace), 0, 0, 0, 0) }),
            (
                "connect to a unix socket",
                descriptor { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }
            ),
            (
                openPacketSocket,
                descriptor { socket(AF_PACKET, Int32(SOCK_RAW.rawValue), 0) }
            ),
            ("change a file's mode", attempt { Int(chmod("/etc/rdnet-no-such-file", 0o600)) }),
            ("signal another process", attempt { Int(kill(1, 0)) }),
            ("map executable memory", executableMemory()),
            ("enter a new namespace", attempt { Int(unshare(CInt(CLINUX_CLONE_NEWUSER))) }),
            ("become root again", attempt { Int(setresuid(0, 0, 0)) }),
        ]
    }

    private static func attempt(_ body: () -> Int) -> SystemError? {
        body() == -1 && errno != ENOENT ? SystemError(call: "", errno: errno) : nil
    }

    private static func descriptor(_ body: () -> Int32) -> SystemError? {
        let number = body()
        guard number >= 0 else { return SystemError(call: "", errno: errno) }
        close(number)
        return nil
    }

    private static func createFile() -> SystemError? {
        let path = "/tmp/rdnet-probe-\(getpid())"
        let error = descriptor { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        if error == nil { unlink(path) }
        return error
    }

    private static func runProgram() -> SystemError? {
        // Without arguments, the kernel refuses this only after all permissions were checked.
        let path = "/proc/self/exe"
        return path.withCString { text in
            attempt { clinux_syscall(Int(SYS_execve), Int(bitPattern: text), 1, 0, 0) }
        }.flatMap { $0.errno == EFAULT ? nil : $0 }
    }

    private static func executableMemory() -> SystemError? {
        let size = 4_096
        let memory = mmap(
            nil,
            size,
            PROT_READ | PROT_WRITE | PROT_EXEC,
            MAP_PRIVATE | MAP_ANONYMOUS,
            -1,
            0
        )
        guard memory != MAP_FAILED, let memory else { return SystemError(call: "", errno: errno) }
        munmap(memory, size)
        return nil
    }
}
