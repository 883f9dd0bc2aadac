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

    /// The arguments, the program's own name first, as the kernel put them in front of the environment.
    ///
    /// The standard library reads them from `/proc/self/cmdline`, and so has none where /proc is not mounted. See the System V ABI, AMD64
    /// supplement, 3.4.1: argument count, argument pointers, null, environment pointers; other architectures do the same.
    static var arguments: [String] {
        guard let environment = clinux_environ else { return [] }
        // Sound: nothing in this process has moved the environment, and below the pointers is their count, which no
        // pointer can equal.
        return environment.withMemoryRebound(to: Int.self, capacity: 1) { words in
            var count = 0
            while words[-2 - count] != count { count += 1 }
            return (0..<count).compactMap { index in
                environment[index - 1 - count].map { String(cString: $0) }
            }
        }
    }

    /// This process's number.
    ///
    /// See getpid(2).
    static var process: Int32 { getpid() }

    /// The path of the program's own file.
    ///
    /// See proc(5), readlink(2).
    ///
    /// - Returns: An absolute path.
    /// - Throws: `SystemError` when /proc is not mounted.
    static func executablePath() throws(SystemError) -> String {
        try target(of: "/proc/self/exe")
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
