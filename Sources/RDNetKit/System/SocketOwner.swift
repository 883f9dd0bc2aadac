internal import CLinux
internal import Glibc

/// The process that has a socket open.
///
/// See proc_pid_fd(5): the link of a socket's descriptor reads `socket:[INODE]`.
enum SocketOwner {
    /// Limit on the descriptors that one search looks at: a tenth of a second, about.
    private static let maximumDescriptors = 100_000

    /// A process as `/proc` shows it.
    struct Process: Equatable {
        let number: Int32
        /// The first 15 bytes of the program's name, which the process can change (comm).
        let name: String
    }

    /// Finds a process.
    ///
    /// - Parameter inode: The socket's, from a table of sockets.
    /// - Returns: One of the processes that have it open; nil if this process may look into none of
    ///   them, or there are too many descriptors.
    static func process(of inode: UInt64) -> Process? {
        let link = Array("socket:[\(inode)]".utf8)
        var rest = maximumDescriptors
        var found: Process?
        Directory.forEachName(in: "/proc") { name in
            guard let number = Int32(name) else { return true }
            let folder = "/proc/\(number)/fd"
            Directory.forEachName(in: folder) { descriptor in
                rest -= 1
                guard leads("\(folder)/\(descriptor)", to: link) else { return rest > 0 }
                found = Process(number: number, name: self.name(of: number))
                return false
            }
            return found == nil && rest > 0
        }
        return found
    }

    private static func leads(_ path: String, to link: [UInt8]) -> Bool {
        var target = [UInt8](repeating: 0, count: link.count + 1)
        // Sound: the kernel writes at most the buffer's length. A longer link is another one.
        let count = target.withUnsafeMutableBytes { buffer -> Int in
            guard let start = buffer.baseAddress else { return 0 }
            let text = start.assumingMemoryBound(to: CChar.self)
            return readlinkat(AT_FDCWD, path, text, buffer.count)
        }
        return count == link.count && target.dropLast() == link[...]
    }

    private static func name(of process: Int32) -> String {
        do {
            let text = try TextFile.read("/proc/\(process)/comm") ?? []
            return String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        } catch {
            // It has ended meanwhile.
            return ""
        }
    }
}
