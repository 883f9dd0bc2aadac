internal import CLinux
internal import Glibc

/// An open capture file, or an open named pipe or device that receives a capture.
final class CaptureDestination {
    /// The size of a pipe's buffer to ask for: the most that the kernel grants every user.
    private static let pipeSize: Int32 = 1 << 20

    private let path: String
    private let descriptor: OwnedDescriptor
    /// Whether the output is a regular file, from which a half-written record can be removed.
    let isFile: Bool
    /// Whether the output was empty when it was opened.
    let isEmpty: Bool

    /// Opens or creates the file.
    ///
    /// A new file has mode 0600. Opening never waits for the reader of a named pipe.
    ///
    /// - Parameters:
    ///   - path: The path of a file, a named pipe or a character device; its directory must exist.
    ///   - appending: Whether to keep the file's content.
    /// - Throws: `SystemError` that names the path: `isWithoutReader` for a named pipe that no
    ///   program reads, EPERM for a file that others control.
    init(_ path: String, appending: Bool) throws(SystemError) {
        self.path = path
        let target = try OutputPath(path)
        descriptor = try target.open(O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        var status = stat()
        let number = descriptor.number
        try systemCall("stat \(path)") { fstat(number, &status) }
        let kind = status.st_mode & S_IFMT
        guard [S_IFREG, S_IFIFO, S_IFCHR].contains(kind) else {
            throw SystemError(
                call: "open \(path)",
                errno: EINVAL,
                explanation: "expected a file, a named pipe or a character device"
            )
        }
        isFile = kind == S_IFREG
        if isFile, !appending { try descriptor.truncateIfRegular(to: 0, named: path) }
        isEmpty = !isFile || !appending || status.st_size == 0
        // If this fails, the pipe keeps its size.
        if kind == S_IFIFO { _ = fcntl(number, Int32(CLINUX_F_SETPIPE_SZ), Self.pipeSize) }
    }

    /// The descriptor to wait for room in a pipe.
    var number: Int32 { descriptor.number }

    /// The result of an attempt to write.
    struct Outcome {
        /// The number of bytes written.
        var written = 0
        /// Why the rest was not written; nil if a pipe has no more room.
        var error: SystemError?
    }

    /// Appends bytes; does not wait for the reader of a pipe.
    ///
    /// - Parameter octets: The bytes.
    /// - Returns: How many were written, and why not all.
    func write(_ octets: ArraySlice<UInt8>) -> Outcome {
        var outcome = Outcome()
        do throws(SystemError) {
            while outcome.written < octets.count {
                let number = descriptor.number
                let rest = octets.dropFirst(outcome.written)
                let taken = try attempt("write \(path)") {
                    // Sound: the pointer is used only during the call.
                    rest.withUnsafeBytes { SignallessWrite.write(number, $0) }
                }
                guard let taken else { return outcome }
                outcome.written += taken
            }
        } catch {
            outcome.error = error
        }
        return outcome
    }

    /// Removes the last bytes of a regular file.
    ///
    /// See ftruncate(2).
    ///
    /// - Parameter count: The number of bytes.
    /// - Throws: `SystemError` that names the path.
    func removeLast(_ count: Int) throws(SystemError) {
        var status = stat()
        let number = descriptor.number
        try systemCall("stat \(path)") { fstat(number, &status) }
        let length = max(0, Int64(status.st_size) - Int64(count))
        try descriptor.truncateIfRegular(to: length, named: path)
    }
}

extension SystemError {
    /// Whether no program has the named pipe open for reading; see open(2), ENXIO, and write(2).
    var isWithoutReader: Bool { errno == ENXIO || errno == EPIPE }
}
