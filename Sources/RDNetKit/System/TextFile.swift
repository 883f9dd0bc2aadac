internal import CLinux
internal import Glibc

/// A small text file that is read whole.
enum TextFile {
    /// The maximum size of a configuration file; a larger file is a mistake, or an endless device.
    static let limit = 1 << 20

    /// Reads a file of at most `limit` bytes.
    ///
    /// See open(2), read(2).
    ///
    /// - Parameter path: The path of a regular file.
    /// - Returns: The content; nil when it exceeds the limit.
    /// - Throws: `SystemError` that names the path.
    static func read(_ path: String) throws(SystemError) -> [UInt8]? {
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            }
        )
        return try read(file, named: path)
    }

    /// Reads a small open file, from its current position.
    ///
    /// See read(2).
    ///
    /// - Parameters:
    ///   - file: A file that is open for reading.
    ///   - path: The path for the error message.
    ///   - limit: The maximum size in bytes.
    /// - Returns: The content; nil when it exceeds the limit.
    /// - Throws: `SystemError` that names the path.
    static func read(
        _ file: borrowing OwnedDescriptor,
        named path: String,
        upTo limit: Int = limit
    ) throws(SystemError) -> [UInt8]? {
        let number = file.number
        var octets: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while octets.count <= limit {
            let count = try systemCall("read \(path)") {
                // Sound: the count bounds the write.
                buffer.withUnsafeMutableBytes { Glibc.read(number, $0.baseAddress, $0.count) }
            }
            if count == 0 { return octets }
            octets += buffer[..<count]
        }
        return nil
    }

    /// Replaces the content of an open file in place.
    ///
    /// While a shorter text replaces a longer one, a reader may see the new text followed by empty
    /// lines. See pwrite(2), ftruncate(2).
    ///
    /// - Parameters:
    ///   - file: A file that is open for writing.
    ///   - octets: The whole text.
    ///   - path: The path for the error message.
    /// - Throws: `SystemError` that names the path.
    static func overwrite(
        _ file: borrowing OwnedDescriptor,
        with octets: [UInt8],
        named path: String
    ) throws(SystemError) {
        let number = file.number
        var status = stat()
        try systemCall("stat \(path)") { fstat(number, &status) }
        let excess = max(0, Int(status.st_size) - octets.count)
        let padded = octets + [UInt8](repeating: 0x0a, count: min(excess, limit))
        var offset = 0
        while offset < padded.count {
            offset += try systemCall("write \(path)") {
                // Sound: the pointer is used only during the call.
                padded[offset...].withUnsafeBytes { rest in
                    pwrite(number, rest.baseAddress, rest.count, off_t(offset))
                }
            }
        }
        guard excess > 0 else { return }
        try systemCall("truncate \(path)") { ftruncate(number, off_t(octets.count)) }
    }

    /// Whether anything exists at a path, a file or not; symbolic links are followed.
    ///
    /// See access(2).
    static func isAnything(at path: String) -> Bool {
        access(path, F_OK) == 0
    }

    /// Whether an error means that the file does not exist.
    static func isAbsence(_ error: SystemError) -> Bool {
        error.errno == ENOENT || error.errno == ENOTDIR
    }
}
