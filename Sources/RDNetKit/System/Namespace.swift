internal import CLinux
internal import Glibc

/// Namespaces of a child process.
///
/// See namespaces(7).
enum Namespace {
    /// Runs a closure in a child process, whose exit status is the closure's result.
    ///
    /// Sound because this process has one thread. The kernel kills the child when its parent ends
    /// (prctl(2), PR_SET_PDEATHSIG).
    ///
    /// - Parameter body: The child's work; no other code of the parent runs in the child.
    /// - Returns: The child's process ID, in the parent.
    /// - Throws: `SystemError`, such as EAGAIN at the limit on processes.
    static func fork(_ body: () -> Int32) throws(SystemError) -> Int32 {
        let parent = getpid()
        let child = try systemCall("fork") { clinux_fork() }
        if child != 0 { return child }
        endWithParent(parent)
        _exit(body())
    }

    /// Makes the kernel kill this process whenever its parent ends.
    ///
    /// A new user namespace cancels an earlier request. See prctl(2), PR_SET_PDEATHSIG.
    ///
    /// - Parameter parent: The parent's process ID; it may have ended before this call.
    static func endWithParent(_ parent: Int32) {
        _ = clinux_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL), 0, 0, 0)
        if getppid() != parent { _exit(1) }
    }

    /// Moves this process into new network and mount namespaces.
    ///
    /// Without privilege, they are created inside a user namespace. The caller has every capability
    /// there until it runs a program as a user other than root. See unshare(2), user_namespaces(7).
    ///
    /// - Parameter keepsUser: Whether the caller keeps its user and group in a user namespace;
    ///   otherwise it is root there.
    ///   it is root there.
    /// - Throws: `SystemError` that names the operation that is not permitted.
    static func enterFresh(keepsUser: Bool = false) throws(SystemError) {
        let (user, group) = (geteuid(), getegid())
        let fresh = Int32(CLINUX_CLONE_NEWNET | CLINUX_CLONE_NEWNS)
        // Root in a container may lack the capability but still have user namespaces.
        if user != 0 || unshare(fresh) != 0 {
            do {
                try systemCall("unshare(CLONE_NEWUSER)") {
                    unshare(fresh | Int32(CLINUX_CLONE_NEWUSER))
                }
                try KernelFile.write("deny", to: "/proc/self/setgroups")
                let inside = keepsUser ? (user: user, group: group) : (user: 0, group: 0)
                try KernelFile.write("\(inside.user) \(user) 1", to: "/proc/self/uid_map")
                try KernelFile.write("\(inside.group) \(group) 1", to: "/proc/self/gid_map")
            } catch {
                throw withHint(error)
            }
        }
        // Later mounts stay in this namespace.
        try makeMountsPrivate()
    }

    /// Adds what to do to an error that the kernel's message does not explain.
    ///
    /// Ubuntu's AppArmor lets anybody create a user namespace, and then refuses what is done in it.
    private static func withHint(_ error: SystemError) -> SystemError {
        let message = SystemError.message(error.errno)
        let hint: String? =
            switch error.errno {
            case ENOSPC:
                "too many namespaces; see sysctl user.max_user_namespaces and "
                    + "user.max_net_namespaces"
            case EPERM, EACCES:
                "user namespaces are forbidden; see sysctl kernel.unprivileged_userns_clone and "
                    + "kernel.apparmor_restrict_unprivileged_userns, or run as root"
            default: nil
            }
        var error = error
        error.explanation = hint.map { "\(message) (\($0))" }
        return error
    }

    /// Stops the propagation of mounts into and out of this process's mount namespace.
    ///
    /// It also works in a chroot whose root is not a mount point. See mount_namespaces(7).
    ///
    /// - Throws: `SystemError` with EPERM without CAP_SYS_ADMIN.
    static func makeMountsPrivate() throws(SystemError) {
        let flags = UInt(MS_REC | MS_PRIVATE)
        do {
            try systemCall("mount / private") { mount("none", "/", nil, flags, nil) }
        } catch {
            guard error.errno == EINVAL else { throw error }
            // In a chroot, "/" may not be a mount point: visit the root of the namespace.
            let root = try openDirectory("/")
            let directory = try openDirectory(".")
            try enterMounts(of: getpid())
            try systemCall("mount / private") { mount("none", "/", nil, flags, nil) }
            try systemCall("fchdir /") { fchdir(root.number) }
            try systemCall("chroot") { chroot(".") }
            try systemCall("fchdir .") { fchdir(directory.number) }
        }
    }

    /// Moves this process into another process's mount namespace, to the root of that namespace.
    ///
    /// See setns(2), which accepts a pidfd since Linux 5.8.
    ///
    /// - Parameter process: The process ID. This process's own ID leaves a chroot.
    /// - Throws: `SystemError`: ESRCH, EPERM.
    static func enterMounts(of process: Int32) throws(SystemError) {
        let target = OwnedDescriptor(
            adopting: try systemCall("pidfd_open") { pidfd_open(process, 0) }
        )
        try systemCall("setns") { setns(target.number, Int32(CLINUX_CLONE_NEWNS)) }
    }

    /// Opens a directory only for looking up names in it (O_PATH).
    static func openDirectory(_ path: String) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                open(path, Int32(CLINUX_O_PATH) | O_DIRECTORY | O_CLOEXEC)
            }
        )
    }
}

/// Whether a person uses the program.
enum Terminal {
    /// Whether standard input is a terminal.
    ///
    /// See isatty(3).
    static var isPresent: Bool { isatty(STDIN_FILENO) == 1 }
}

/// Finds programs in PATH.
///
/// See environ(7).
enum ProgramPath {
    /// Finds a program as a shell does.
    ///
    /// - Parameters:
    ///   - name: A name, or a path if it has a slash.
    ///   - searchPath: PATH; nil uses the usual system directories.
    /// - Returns: The path of an executable file, or of any file if the name is a path; nil if the
    ///   file does not exist.
    static func find(_ name: String, in searchPath: String?) -> String? {
        if name.contains("/") { return access(name, F_OK) == 0 ? name : nil }
        return candidates(name, in: searchPath).first { isExecutable($0) }
    }

    /// Returns the possible paths of a program, in the order of PATH.
    ///
    /// - Parameters:
    ///   - name: A name without a slash; the empty name has no paths.
    ///   - searchPath: PATH, where an empty part means the current directory; nil uses the usual
    ///     system directories.
    /// - Returns: One path for each part of PATH.
    static func candidates(_ name: String, in searchPath: String?) -> [String] {
        guard !name.isEmpty else { return [] }
        let folders = searchPath ?? "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return folders.split(separator: ":", omittingEmptySubsequences: false).map { folder in
            (folder.isEmpty ? "." : String(folder)) + "/" + name
        }
    }

    /// Whether a path leads to a regular file that this process may execute.
    ///
    /// See access(2).
    static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
            && access(path, X_OK) == 0
    }
}
