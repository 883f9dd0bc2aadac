internal import CLinux
internal import Glibc

/// Namespaces of a child process.
///
/// See namespaces(7).
enum Namespace {
    /// Runs a closure in a child process, which ends with what it returns.
    ///
    /// Sound because this process has one thread. The child dies with its parent (prctl(2), PR_SET_PDEATHSIG).
    ///
    /// - Parameter body: The child's work; nothing of the parent's runs in it.
    /// - Returns: The child's number, in the parent.
    /// - Throws: `SystemError`, such as EAGAIN at the limit of processes.
    static func fork(_ body: () -> Int32) throws(SystemError) -> Int32 {
        let parent = getpid()
        let child = try systemCall("fork") { clinux_fork() }
        if child != 0 { return child }
        // Ends with the parent whatever ends that; it may have ended before this was said.
        _ = clinux_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL), 0, 0, 0)
        if getppid() != parent { _exit(1) }
        _exit(body())
    }

    /// Moves this process into fresh network and mount namespaces.
    ///
    /// Without privilege, inside a user namespace in which the caller is root. See unshare(2), user_namespaces(7).
    ///
    /// - Throws: `SystemError` that says what is not permitted.
    static func enterFresh() throws(SystemError) {
        let (user, group) = (geteuid(), getegid())
        let fresh = Int32(CLINUX_CLONE_NEWNET | CLINUX_CLONE_NEWNS)
        // Root in a container may lack the capability, and still have user namespaces.
        if user != 0 || unshare(fresh) != 0 {
            try systemCall("unshare(CLONE_NEWUSER)") {
                unshare(fresh | Int32(CLINUX_CLONE_NEWUSER))
            }
            try write("deny", to: "/proc/self/setgroups")
            try write("0 \(user) 1", to: "/proc/self/uid_map")
            try write("0 \(group) 1", to: "/proc/self/gid_map")
        }
        // What is mounted from here on stays here.
        try makeMountsPrivate()
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
            // In a chroot "/" may be no mount point: visit the root of the namespace.
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
    /// See setns(2); it accepts a pidfd since Linux 5.8.
    ///
    /// - Parameter process: Its number. This process's own number leaves a chroot.
    /// - Throws: `SystemError`: ESRCH, EPERM.
    static func enterMounts(of process: Int32) throws(SystemError) {
        let target = OwnedDescriptor(
            adopting: try systemCall("pidfd_open") { pidfd_open(process, 0) }
        )
        try systemCall("setns") { setns(target.number, Int32(CLINUX_CLONE_NEWNS)) }
    }

    /// Opens a directory only to look names up in it (O_PATH).
    static func openDirectory(_ path: String) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                open(path, Int32(CLINUX_O_PATH) | O_DIRECTORY | O_CLOEXEC)
            }
        )
    }

    /// Becomes another program: the child's part of running one.
    ///
    /// See execve(2).
    ///
    /// - Parameters:
    ///   - path: An executable file.
    ///   - arguments: What comes after the program's name.
    ///   - environment: `NAME=value`.
    /// - Returns: Only when it cannot: the errno.
    static func become(_ path: String, _ arguments: [String], _ environment: [String]) -> Int32 {
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
        // The process ends or becomes another: nobody frees these.
        let words = ([path] + arguments).map { strdup($0) } + [nil]
        let variables = environment.map { strdup($0) } + [nil]
        execve(path, words, variables)
        return errno
    }

    private static func write(_ text: String, to path: String) throws(SystemError) {
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(path, O_WRONLY | O_CLOEXEC) }
        )
        let octets = Array(text.utf8)
        let number = file.number
        try systemCall("write \(path)") { Glibc.write(number, octets, octets.count) }
    }
}

/// Whether a person sits at the program.
enum Terminal {
    /// Whether standard input is a terminal.
    ///
    /// See isatty(3).
    static var isPresent: Bool { isatty(STDIN_FILENO) == 1 }
}

/// A program's file among those of PATH.
///
/// See environ(7).
enum ProgramPath {
    /// Finds a program as a shell would.
    ///
    /// - Parameters:
    ///   - name: A name, or a path when it has a slash.
    ///   - searchPath: PATH; nil takes the system's default.
    /// - Returns: The path of an executable file, or any file's when it was named by path; nil when there is none.
    static func find(_ name: String, in searchPath: String?) -> String? {
        if name.contains("/") { return access(name, F_OK) == 0 ? name : nil }
        let folders = searchPath ?? "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        for folder in folders.split(separator: ":", omittingEmptySubsequences: false) {
            let path = (folder.isEmpty ? "." : String(folder)) + "/" + name
            if isExecutable(path) { return path }
        }
        return nil
    }

    /// Whether a path leads to a file that this process may run.
    ///
    /// See access(2).
    static func isExecutable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
            && access(path, X_OK) == 0
    }
}
