internal import CLinux
internal import Glibc

/// The last step of running a command in a child process: the process becomes the program.
///
/// It follows the rules of execvp(3), so a command behaves as it does under a shell, env(1), or
/// nohup(1).
enum ProgramExecution {
    /// The reason why a command could not run.
    struct Failure: Equatable, CustomStringConvertible {
        let name: String
        let errno: Int32

        /// The exit status that POSIX shells use: 127 when the program was not found, 126 when it
        /// was found but cannot run.
        var status: Int32 { errno == ENOENT ? 127 : 126 }

        var description: String {
            let isSearched = errno == ENOENT && !name.contains("/")
            return "\(name): " + (isSearched ? "command not found" : SystemError.message(errno))
        }
    }

    private static let shell = "/bin/sh"

    /// Replaces this process with a program.
    ///
    /// It unblocks all signals first. See execve(2).
    ///
    /// - Parameters:
    ///   - words: The program's name as typed, which becomes `argv[0]`, and its arguments; not
    ///     empty.
    ///   - environment: The variables as `NAME=value`.
    ///   - searchPath: The value of PATH; nil for the system's default.
    /// - Returns: The reason, if no program could run; otherwise it does not return.
    static func become(
        _ words: [String],
        environment: [String],
        searchPath: String?
    ) -> Failure {
        unblockSignals()
        let name = words.first ?? ""
        if name.contains("/") {
            return Failure(name: name, errno: execute(name, words, environment))
        }
        var wasDenied = false
        for file in ProgramPath.candidates(name, in: searchPath) {
            switch execute(file, words, environment) {
            case EACCES: wasDenied = true
            // The directory is missing, or its file system does not respond: the next directory may
            // have the program.
            case ENOENT, ENOTDIR, ESTALE, ENODEV, ETIMEDOUT: continue
            case let code: return Failure(name: name, errno: code)
            }
        }
        return Failure(name: name, errno: wasDenied ? EACCES : ENOENT)
    }

    /// Starts this program anew in this process.
    ///
    /// - Parameters:
    ///   - words: The new arguments, from the program's name on.
    ///   - environment: The variables as `NAME=value`.
    /// - Returns: The reason, if it could not run; otherwise it does not return.
    static func becomeItself(_ words: [String], environment: [String]) -> Failure {
        unblockSignals()
        // The link works even if the file has been replaced since, but not without /proc.
        var code = replace("/proc/self/exe", words, environment)
        do throws(SystemError) {
            code = replace(try ProcessEnvironment.executablePath(), words, environment)
        } catch {
            // The first attempt's code says why.
        }
        return Failure(name: words.first ?? "", errno: code)
    }

    private static func unblockSignals() {
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
    }

    /// Runs one file; the shell runs a file whose format the kernel does not know.
    private static func execute(_ file: String, _ words: [String], _ environment: [String]) -> Int32
    {
        let code = replace(file, words, environment)
        guard code == ENOEXEC else { return code }
        return replace(shell, [shell, file] + words.dropFirst(), environment)
    }

    private static func replace(_ file: String, _ words: [String], _ environment: [String]) -> Int32
    {
        // Never freed: the process becomes the program, or ends after the last attempt.
        let arguments = words.map { strdup($0) } + [nil]
        let variables = environment.map { strdup($0) } + [nil]
        execve(file, arguments, variables)
        return errno
    }
}
