internal import CLinux
internal import Glibc

/// The names in a directory.
enum Directory {
    /// Calls a closure with each name until it returns false; never if the directory cannot be
    /// read.
    ///
    /// See readdir(3).
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - body: Receives a name without the path; returns whether to go on.
    static func forEachName(in path: String, _ body: (String) -> Bool) {
        guard let directory = opendir(path) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            // Sound: the name is a NUL-terminated array of chars, valid until the next readdir.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard body(name) else { return }
        }
    }
}
