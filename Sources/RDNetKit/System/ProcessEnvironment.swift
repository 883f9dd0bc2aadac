internal import CLinux
internal import Glibc

/// What the process was started with.
enum ProcessEnvironment {
    /// A variable's value; nil when it is not set.
    ///
    /// See getenv(3).
    static func value(of name: String) -> String? {
        // Sound: the string is copied at once, and nothing in this process changes the environment.
        getenv(name).map { String(cString: $0) }
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

    /// The arguments, the program's own name first, as the kernel put them in front of the
    /// environment.
    ///
    /// The standard library reads them from `/proc/self/cmdline`, and so has none where /proc is
    /// not mounted. See the System V ABI, AMD64 supplement, 3.4.1: argument count, argument
    /// pointers, null, environment pointers; other architectures do the same.
    static var arguments: [String] {
        guard let environment = clinux_environ else { return [] }
        // Sound: nothing in this process has moved the environment, and below the pointers is their
        // count, which no pointer can equal.
        return environment.withMemoryRebound(to: Int.self, capacity: 1) { words in
            var count = 0
            while words[-2 - count] != count { count += 1 }
            return (0..<count).compactMap { index in
                environment[index - 1 - count].map { String(cString: $0) }
            }
        }
    }

    /// The commit that the program was built from; empty when it was not built by `make` in a
    /// clone.
    static var commit: String {
        // Sound: the last of the 64 bytes is always 0.
        String(cString: clinux_commit())
    }

    /// This process's number.
    ///
    /// See getpid(2).
    static var process: Int32 { getpid() }

    /// The number of the process that started this one.
    ///
    /// See getppid(2).
    static var parent: Int32 { getppid() }

    /// The path of the program's own file.
    ///
    /// Where /proc is not mounted, it is the path that execve(2) was given, without symbolic links.
    /// See proc(5), readlink(2), and getauxval(3), AT_EXECFN.
    ///
    /// - Returns: An absolute path.
    /// - Throws: `SystemError` when the file was moved or removed after the start.
    static func executablePath() throws(SystemError) -> String {
        do throws(SystemError) {
            return try target(of: "/proc/self/exe")
        } catch {
            guard let started = startedPath else { throw error }
            return try FileLink.resolved(started)
        }
    }

    private static var startedPath: String? {
        // Sound: the kernel puts a NUL-terminated string there, or getauxval returns 0.
        UnsafePointer<CChar>(bitPattern: clinux_getauxval(UInt(CLINUX_AT_EXECFN)))
            .map { String(cString: $0) }
    }

    /// The path of another process's program, in that process's mount namespace.
    ///
    /// - Returns: Nil when the process has ended, or its program may not be known.
    static func program(of process: Int32) -> String? {
        do {
            let path = try target(of: "/proc/\(process)/exe")
            // The kernel's mark of a file that was replaced since.
            return path.hasSuffix(replaced) ? String(path.dropLast(replaced.count)) : path
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
