internal import CLinux
internal import Glibc

/// The system calls that rdnet makes after its start, in groups.
///
/// What is missing is missing on purpose: running programs, changing the owner or the permissions
/// of a path (Landlock does not restrict these), looking into other processes, new namespaces,
/// mounts, kernel modules, keys, BPF, io_uring, and executable memory.
enum SandboxCalls {
    /// The filter of the roles that serve a network or its ports.
    ///
    /// - Parameters:
    ///   - process: This process.
    ///   - unixSockets: Whether it creates unix sockets itself, which can connect to any path.
    ///   - maySignal: Whether it has a child to pass signals on to.
    ///   - makesInterfaces: Whether it creates TAPs and serves them by DHCP over packet sockets.
    /// - Returns: The filter.
    static func service(
        _ process: Int32,
        unixSockets: Bool = false,
        maySignal: Bool = false,
        makesInterfaces: Bool = false
    ) -> SystemCallFilter {
        var calls = memory + events + descriptors + sockets + files + identity + time
        if maySignal { calls += [SYS_pidfd_send_signal, SYS_wait4, SYS_waitid] }
        let families =
            [AF_INET, AF_INET6, AF_NETLINK, AF_VSOCK] + (unixSockets ? [AF_UNIX] : [])
            + (makesInterfaces ? [AF_PACKET] : [])
        let controls = controls + (makesInterfaces ? [UInt32(CLINUX_TUNSETIFF)] : [])
        return SystemCallFilter(
            allowed: Set(calls.map { Int($0) }),
            conditions: executableMemory.merging(
                [
                    SYS_socket: .oneOf(argument: 0, families.map { UInt32($0) }),
                    // A datagram socket of a pair can connect elsewhere, a stream cannot.
                    SYS_socketpair: .oneOf(argument: 1, pairs),
                    // abort(3) signals its own process.
                    SYS_tgkill: .oneOf(argument: 0, [UInt32(process)]),
                    // Typing into the terminal that the program was started from.
                    SYS_ioctl: .oneOf(argument: 1, controls),
                ].reduce(into: [:]) { $0[Int($1.key)] = $1.value }
            ) { $1 }
        )
    }

    /// The filter of the children that reach files for a role.
    ///
    /// - Parameter groups: The groups to which it may give sockets; it has no capability for that,
    ///   and the owner of a file cannot be changed.
    /// - Returns: The filter.
    static func broker(givingTo groups: Set<UInt32> = []) -> SystemCallFilter {
        let calls = memory + descriptors + sockets + files + identity + time
        var conditions = executableMemory
        conditions[Int(SYS_socket)] = .oneOf(argument: 0, [UInt32(AF_UNIX)])
        if !groups.isEmpty {
            conditions[Int(SYS_fchownat)] = .all([
                .oneOf(argument: 2, [UInt32.max]), .oneOf(argument: 3, groups.sorted()),
                // The open file itself, by an empty path.
                .oneOf(argument: 4, [UInt32(CLINUX_AT_EMPTY_PATH)]),
            ])
        }
        return SystemCallFilter(allowed: Set(calls.map { Int($0) }), conditions: conditions)
    }

    /// The filter of the child that writes a guest's resolver file (`LeaseBroker`).
    ///
    /// - Parameters:
    ///   - process: This process.
    ///   - mounts: Whether it mounts the file over a name, which takes a child for each mount
    ///     (`MountedFile`).
    /// - Returns: The filter.
    static func resolverFile(_ process: Int32, mounts: Bool) -> SystemCallFilter {
        var filter = service(process)
        filter.allowed.formUnion(links.map { Int($0) })
        guard mounts else { return filter }
        filter.allowed.formUnion(Self.mounts.map { Int($0) })
        let conditions: [Int32: SystemCallFilter.Condition] = [
            // fork(3), no other kind of process and no namespace.
            SYS_clone: .oneOf(argument: 0, [UInt32(CLINUX_FORK_FLAGS)]),
            SYS_unshare: .oneOf(argument: 0, [UInt32(CLINUX_CLONE_NEWNS)]),
            SYS_setns: .oneOf(argument: 1, [UInt32(CLINUX_CLONE_NEWNS)]),
            SYS_prctl: .oneOf(argument: 0, [UInt32(PR_SET_PDEATHSIG)]),
        ]
        for (number, condition) in conditions { filter.conditions[Int(number)] = condition }
        return filter
    }

    /// The filter of the child that looks for processes (`ProcessFinder`): it only reads.
    static func processFinder() -> SystemCallFilter {
        let calls =
            memory + events + descriptors + identity + time + [
                SYS_newfstatat, SYS_fstat, SYS_statx, SYS_readlinkat, SYS_getdents64, SYS_sendto,
                SYS_recvfrom, SYS_sendmsg,
            ]
        var conditions = executableMemory
        conditions[Int(SYS_openat)] = .without(argument: 2, UInt32(O_WRONLY | O_RDWR))
        return SystemCallFilter(allowed: Set(calls.map { Int($0) }), conditions: conditions)
    }

    private static let mounts = [
        SYS_set_robust_list, SYS_rseq, SYS_wait4, SYS_pidfd_open, SYS_mount, SYS_umount2,
        SYS_open_tree, SYS_move_mount, SYS_chdir, SYS_fchdir, SYS_chroot,
    ]

    private static let executableMemory: [Int: SystemCallFilter.Condition] = [
        Int(SYS_mmap): .without(argument: 2, UInt32(PROT_EXEC)),
        Int(SYS_mprotect): .without(argument: 2, UInt32(PROT_EXEC)),
    ]

    private static var pairs: [UInt32] {
        let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let kinds = [SOCK_STREAM, SOCK_SEQPACKET].map { Int32($0.rawValue) }
        return kinds.flatMap { [UInt32($0 | flags), UInt32($0)] }
    }

    /// Terminal state, bytes that wait in a socket, and offloads of a TAP.
    private static let controls: [UInt32] =
        [TCGETS, TIOCGPGRP, TIOCGWINSZ, FIONBIO, FIONREAD, TIOCOUTQ].map { UInt32($0) }
        + [CLINUX_TUNSETOFFLOAD, CLINUX_TUNSETVNETHDRSZ, CLINUX_TUNSETVNETLE].map {
            UInt32(truncatingIfNeeded: $0)
        }

    private static let memory = [SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk]

    private static let events: [Int32] =
        [
            SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_signalfd4,
            SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_futex,
        ] + oldEvents

    private static let descriptors: [Int32] =
        [
            SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek,
            SYS_close, SYS_fcntl, SYS_dup, SYS_dup3, SYS_pipe2, SYS_splice, SYS_ppoll,
        ] + oldPoll

    private static let sockets = [
        SYS_bind, SYS_listen, SYS_accept4, SYS_connect, SYS_shutdown, SYS_getsockname,
        SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_sendto, SYS_sendmsg, SYS_sendmmsg,
        SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,
    ]

    private static let files: [Int32] =
        [
            SYS_openat, SYS_newfstatat, SYS_fstat, SYS_statx, SYS_faccessat, SYS_readlinkat,
            SYS_getdents64, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_ftruncate,
            SYS_flock, SYS_fchmod, SYS_fsync, SYS_umask,
        ] + oldFiles

    private static let identity = [
        SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
        SYS_uname, SYS_sysinfo, SYS_prlimit64, SYS_getrandom, SYS_rt_sigaction,
        SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_sigaltstack,
        SYS_restart_syscall, SYS_exit,
        SYS_exit_group, SYS_sched_yield, SYS_sched_getaffinity, SYS_getrusage,
    ]

    private static let time: [Int32] =
        [SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep] + oldTime

    // The older forms of the same calls exist on x86-64 only.
    #if arch(x86_64)
    private static let links = [SYS_symlinkat, SYS_symlink]
    private static let oldEvents = [SYS_epoll_wait]
    private static let oldPoll = [SYS_poll, SYS_dup2]
    private static let oldFiles = [
        SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_unlink, SYS_rename,
        SYS_link, SYS_getrlimit, SYS_setrlimit,
    ]
    private static let oldTime = [SYS_time, SYS_gettimeofday]
    #else
    private static let links = [SYS_symlinkat]
    private static let oldEvents: [Int32] = []
    private static let oldPoll: [Int32] = []
    private static let oldFiles: [Int32] = []
    private static let oldTime: [Int32] = []
    #endif
}
