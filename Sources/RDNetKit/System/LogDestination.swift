internal import CLinux
internal import Glibc

/// An open descriptor for log lines; a write never waits for the reader.
///
/// How it works: O_NONBLOCK belongs to the open file, which standard error shares with the shell
/// and its other children, so it must not be set there. A pipe or a terminal is opened a second
/// time through /proc/self/fd, which creates a separate open file. A socket is written with
/// MSG_DONTWAIT, which needs no flag. A regular file is written directly. A pipe or a terminal that
/// may not be opened again (its creator may be another user) is also written directly, after
/// poll(2) reports room for a page.
final class LogDestination {
    private enum Manner {
        /// The open file is ours and does not block, or is a regular file.
        case plain
        case socket
        /// Poll first, and then write at most one page.
        case askFirst
    }

    /// The minimum room of a pipe that poll(2) reports as writable.
    private static let page = 4096

    private var descriptor: OwnedDescriptor
    private let manner: Manner
    /// Nil for an inherited descriptor.
    private let path: String?
    /// Whether a person may be reading.
    let isTerminal: Bool
    /// The error of the last write that accepted nothing; nil if there was no room in a pipe.
    private var failure: Int32?

    private init(
        _ descriptor: consuming OwnedDescriptor,
        _ manner: Manner,
        path: String? = nil
    ) {
        isTerminal = isatty(descriptor.number) == 1
        self.descriptor = descriptor
        self.manner = manner
        self.path = path
    }

    /// Opens or creates a log file.
    ///
    /// Every line goes to the current end of the file, so other writers lose nothing. A file that
    /// another program truncates (logrotate's `copytruncate`) starts over instead of with a hole. A
    /// new file is readable for all users that umask(2) permits, and writable for its owner only.
    ///
    /// - Parameters:
    ///   - path: A file, a named pipe or a device; the directory must exist.
    ///   - appending: Whether to keep the file's content.
    /// - Returns: The destination.
    /// - Throws: `SystemError` that names the path; EPERM for a file that others control.
    static func file(_ path: String, appending: Bool) throws(SystemError) -> LogDestination {
        let file = try openFile(path)
        if !appending { try file.truncateIfRegular(to: 0, named: path) }
        return LogDestination(file, .plain, path: path)
    }

    private static func openFile(_ path: String) throws(SystemError) -> OwnedDescriptor {
        let target = try OutputPath(path)
        if target.status.map({ $0.st_mode & S_IFMT == S_IFIFO }) ?? false {
            do {
                // A pipe that is also open for reading needs no reader: lines wait in it for the
                // next one. See fifo(7).
                return try target.open(O_RDWR)
            } catch {
                // This user may only write, or the sandbox allows no more.
                return try target.open(O_WRONLY)
            }
        }
        return try target.open(O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
    }

    /// The number of the open descriptor; it changes when the path is opened again.
    var number: Int32 { descriptor.number }

    /// Whether the destination has a path that can be opened again.
    var isFile: Bool { path != nil }

    /// Opens the file's path again after another program has renamed the file.
    ///
    /// - Throws: `SystemError` that names the path; lines then continue to go to the old file.
    func reopen() throws(SystemError) {
        guard let path else { return }
        descriptor = try Self.openFile(path)
    }

    /// Creates a destination from a shared descriptor of any kind, such as standard error.
    ///
    /// See proc(5), fcntl(2).
    ///
    /// - Parameter number: An open descriptor, which stays unchanged.
    /// - Returns: The destination.
    /// - Throws: `SystemError` if no descriptors are left.
    static func inherited(_ number: Int32) throws(SystemError) -> LogDestination {
        var status = stat()
        let kind = fstat(number, &status) == 0 ? status.st_mode & S_IFMT : S_IFREG
        if kind == S_IFIFO || kind == S_IFCHR {
            let flags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
            let reopened = open("/proc/self/fd/\(number)", flags)
            if reopened >= 0 { return LogDestination(OwnedDescriptor(adopting: reopened), .plain) }
        }
        let copy = try systemCall("fcntl(F_DUPFD_CLOEXEC)") { fcntl(number, F_DUPFD_CLOEXEC, 3) }
        let manner: Manner =
            switch kind {
            case S_IFSOCK: .socket
            case S_IFREG: .plain
            default: .askFirst
            }
        return LogDestination(OwnedDescriptor(adopting: copy), manner)
    }

    /// Writes as much as fits without waiting; a broken destination accepts nothing.
    ///
    /// See write(2), send(2), poll(2).
    ///
    /// - Parameter octets: The end of one line, or one or two whole lines.
    /// - Returns: The number of bytes written.
    func write(_ octets: ArraySlice<UInt8>) -> Int {
        let number = descriptor.number
        // Sound: the pointer is used only during the calls. Any failure loses the line, and the
        // caller counts it: a log that cannot be written has no other place to report that.
        let taken = octets.withUnsafeBytes { buffer in
            switch manner {
            case .plain:
                return SignallessWrite.write(number, buffer)
            case .socket:
                let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
                return send(number, buffer.baseAddress, buffer.count, flags)
            case .askFirst:
                var request = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
                guard poll(&request, 1, 0) == 1, request.revents & Int16(POLLOUT) != 0 else {
                    return 0
                }
                let part = UnsafeRawBufferPointer(rebasing: buffer.prefix(Self.page))
                return SignallessWrite.write(number, part)
            }
        }
        let code = taken < 0 ? errno : EAGAIN
        if taken <= 0 { failure = code == EAGAIN ? nil : code }
        return max(0, taken)
    }

    /// Why the last write that accepted nothing did so.
    var lossCause: String {
        failure.map { SystemError.message($0) } ?? "the reader was too slow"
    }
}
