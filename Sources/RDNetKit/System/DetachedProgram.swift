internal import CLinux
internal import Glibc

/// This program, started once more as a process that does not end with its parent.
enum DetachedProgram {
    /// Starts the program in a session of its own, as a child of init.
    ///
    /// Its standard streams are /dev/null. See setsid(2), daemon(3).
    ///
    /// - Parameters:
    ///   - words: The arguments, from the program's name on.
    ///   - descriptors: Become the new process's descriptors from 3 on; it inherits no others.
    /// - Throws: `SystemError` if no process can be made.
    static func start(_ words: [String], descriptors: [Int32]) throws(SystemError) {
        let child = try systemCall("fork") { clinux_fork() }
        guard child == 0 else {
            var status: Int32 = 0
            while waitpid(child, &status, 0) == -1, errno == EINTR {}
            guard status == 0 else { throw SystemError(call: "fork", errno: EAGAIN) }
            return
        }
        // The program must not end with the terminal or the process group that started it.
        setsid()
        let grandchild = clinux_fork()
        if grandchild != 0 { _exit(grandchild > 0 ? 0 : 1) }
        _exit(run(words, descriptors))
    }

    private static func run(_ words: [String], _ descriptors: [Int32]) -> Int32 {
        let lowest = Int32(STDERR_FILENO + 1)
        let count = Int32(descriptors.count)
        // Copies above the final numbers first: a source may have the number of another target.
        let copies = descriptors.map { fcntl($0, F_DUPFD, lowest + count) }
        for (index, copy) in copies.enumerated() {
            guard dup2(copy, lowest + Int32(index)) >= 0 else { return 1 }
        }
        close_range(UInt32(lowest + count), UInt32.max, 0)
        for number in 0..<lowest { close(number) }
        StandardStream.openMissing()
        chdir("/")
        return ProgramExecution.becomeItself(words, environment: ProcessEnvironment.all).status
    }
}
