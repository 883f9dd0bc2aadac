internal import CLinux
internal import Glibc

/// The environment and arguments of the process, and facts about its program.
enum ProcessEnvironment {
    /// A variable's value; nil when it is not set.
    ///
    /// See getenv(3).
    static func value(of name: String) -> String? {
        // Sound: the string is copied immediately, and nothing in this process changes the
        // environment.
        getenv(name).map { String(cString: $0) }
    }

    /// Whether the user has nothing against colored text.
    static var allowsColor: Bool {
        (value(of: "NO_COLOR") ?? "").isEmpty && value(of: "TERM") != "dumb"
    }

    /// Every variable as `NAME=value`.
    ///
    /// See environ(7).
    static var all: [String] {
        var variables: [String] = []
        // Sound: the array ends with a null pointer, and nothing in this process changes it.
        var next = clinux_environ
        while let variable = next?.pointee {
            variables.append(String(cString: variable))
            next = next?.advanced(by: 1)
        }
        return variables
    }

    /// The arguments, starting with the program's name, as the kernel stored them before the
    /// environment.
    ///
    /// The standard library reads them from `/proc/self/cmdline`, so it has none where /proc is not
    /// mounted. See the System V ABI, AMD64 supplement, 3.4.1: argument count, argument pointers,
    /// null, environment pointers. Other architectures use the same layout.
    static var arguments: [String] {
        argumentPointers.map { String(cString: $0) }
    }

    private static var argumentPointers: [UnsafeMutablePointer<CChar>] {
        guard let environment = clinux_environ else { return [] }
        // Sound: nothing in this process has moved the environment. The argument count lies below
        // the argument pointers, and no pointer can equal it.
        return environment.withMemoryRebound(to: Int.self, capacity: 1) { words in
            var count = 0
            while words[-2 - count] != count { count += 1 }
            return (0..<count).compactMap { environment[$0 - 1 - count] }
        }
    }

    /// Changes the name under which ps(1), pkill(1) and killall(1) find this process.
    ///
    /// The name replaces the first argument, as far as there is room. See PR_SET_NAME(2const).
    ///
    /// - Parameter name: At most 15 ASCII characters.
    static func rename(_ name: StaticString) {
        name.withUTF8Buffer { octets in
            // Sound: a static string ends with a zero, which the kernel's copy needs.
            _ = clinux_prctl(PR_SET_NAME, UInt(bitPattern: octets.baseAddress), 0, 0, 0)
            guard let first = argumentPointers.first else { return }
            // Sound: the kernel reserved this memory for the first argument, and it stays writable.
            for index in 0..<strlen(first) {
                first[index] = index < octets.count ? CChar(bitPattern: octets[index]) : 0
            }
        }
    }

    /// The commit that the program was built from; empty unless `make` built it in a clone.
    static var commit: String {
        // Sound: the last of the 64 bytes is always 0.
        String(cString: clinux_commit())
    }

    /// A path that stays valid in any working directory.
    ///
    /// See getcwd(3).
    static func absolutePath(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        let text = String(cString: folder)
        return text == "/" ? "/" + path : "\(text)/\(path)"
    }

    /// The machine's host name.
    ///
    /// See uname(2).
    static var hostName: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "" }
        return withUnsafeBytes(of: &names.nodename) { octets in
            String(decoding: octets.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// The ID of this process.
    ///
    /// See getpid(2).
    static var process: Int32 { getpid() }

    /// The ID of this process's effective user.
    ///
    /// See geteuid(2).
    static var user: UInt32 { geteuid() }

    /// The ID of the parent process.
    ///
    /// See getppid(2).
    static var parent: Int32 { getppid() }

    /// The path of this program's file.
    ///
    /// If /proc is not mounted, it is the path that was passed to execve(2), with symbolic links
    /// resolved. See proc(5), readlink(2), and getauxval(3), AT_EXECFN.
    ///
    /// - Returns: An absolute path; the kernel appends ` (deleted)` to it if the file was removed.
    /// - Throws: `SystemError` when /proc is not mounted and the file was moved or removed after
    ///   the start.
    static func executablePath() throws(SystemError) -> String {
        do throws(SystemError) {
            return try target(of: "/proc/self/exe")
        } catch {
            guard let started = startedPath else { throw error }
            return try FileLink.resolved(started)
        }
    }

    private static var startedPath: String? {
        // Sound: getauxval returns a pointer to a NUL-terminated string, or 0.
        UnsafePointer<CChar>(bitPattern: clinux_getauxval(UInt(CLINUX_AT_EXECFN)))
            .map { String(cString: $0) }
    }

    /// The path of another process's program, in that process's mount namespace.
    ///
    /// A process with more privileges than this one shows only its short name, which everyone may
    /// read (proc(5), `comm`).
    ///
    /// - Returns: Nil when the process has ended.
    static func program(of process: Int32) -> String? {
        do {
            let path = try target(of: "/proc/\(process)/exe")
            // The kernel's mark for a file that was removed or replaced after the start.
            return path.hasSuffix(replaced) ? String(path.dropLast(replaced.count)) : path
        } catch {
            return shortName(of: process)
        }
    }

    private static func shortName(of process: Int32) -> String? {
        do {
            return try TextFile.read("/proc/\(process)/comm").map {
                String(decoding: $0, as: UTF8.self)
            }
        } catch {
            return nil
        }
    }

    private static let replaced = " (deleted)"

    private static func target(of link: String) throws(SystemError) -> String {
        let capacity = Int(PATH_MAX)
        var path = [CChar](repeating: 0, count: capacity)
        let length = try systemCall("readlink \(link)") { readlink(link, &path, capacity) }
        return String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
