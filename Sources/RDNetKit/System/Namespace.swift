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
        try systemCall("mount / private") {
            mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil)
        }
    }

    /// Lays a private, empty, writable file over a path, in this mount namespace.
    ///
    /// The file lives in a memory file system that only the mount holds, so that it keeps a name of its own: the command may
    /// mount it elsewhere, or something over it. See mount(2).
    ///
    /// - Parameter path: An existing file, or a link to one.
    /// - Throws: `SystemError`.
    static func coverFile(_ path: String) throws(SystemError) {
        let mountPoint = try PrivateDirectory(in: ["/tmp"])
        defer { mountPoint.remove() }
        let directory = mountPoint.path
        try systemCall("mount \(directory)") { mount("tmpfs", directory, "tmpfs", 0, "size=64k") }
        defer { umount2(directory, Int32(CLINUX_MNT_DETACH)) }
        let file = "\(directory)/\(path.split(separator: "/").last ?? "file")"
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("open \(file)") {
                open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
            }
        )
        try systemCall("chmod \(file)") { fchmod(descriptor.number, 0o644) }
        try systemCall("mount over \(path)") { mount(file, path, nil, UInt(MS_BIND), nil) }
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

    /// Whether the process has a controlling terminal; it loses the terminal when that hangs up.
    ///
    /// See tty(4).
    static var isControlling: Bool {
        let number = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        guard number >= 0 else { return false }
        close(number)
        return true
    }
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
