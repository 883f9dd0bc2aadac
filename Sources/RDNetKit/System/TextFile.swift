internal import CLinux
internal import Glibc

/// A small file of text that is read whole, at start-up.
enum TextFile {
    /// What a configuration file may hold; a larger one is a mistake, or a device that never ends.
    static let limit = 1 << 20

    /// Reads a file of at most `limit` octets.
    ///
    /// See open(2), read(2).
    ///
    /// - Parameter path: A regular file.
    /// - Returns: The octets; nil when there are more than the limit.
    /// - Throws: `SystemError` that names the path.
    static func read(_ path: String) throws(SystemError) -> [UInt8]? {
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            }
        )
        return try read(file, named: path)
    }

    /// Reads an open file of at most `limit` octets, from where it is.
    ///
    /// See read(2).
    ///
    /// - Parameters:
    ///   - file: Open for reading.
    ///   - path: For the error.
    /// - Returns: The octets; nil when there are more than the limit.
    /// - Throws: `SystemError` that names the path.
    static func read(
        _ file: borrowing OwnedDescriptor,
        named path: String
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
    /// While a shorter text replaces a longer one, a reader may see the new text and empty lines.
    /// See pwrite(2), ftruncate(2).
    ///
    /// - Parameters:
    ///   - file: Open for writing.
    ///   - octets: The whole text.
    ///   - path: For the error.
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
                // Sound: the rest of the array is lent for the call.
                padded[offset...].withUnsafeBytes { rest in
                    pwrite(number, rest.baseAddress, rest.count, off_t(offset))
                }
            }
        }
        guard excess > 0 else { return }
        try systemCall("truncate \(path)") { ftruncate(number, off_t(octets.count)) }
    }

    /// Whether there is anything at a path, a file or not; symbolic links are followed.
    ///
    /// See access(2).
    static func isAnything(at path: String) -> Bool {
        access(path, F_OK) == 0
    }

    /// Whether an error says that there is no such file.
    static func isAbsence(_ error: SystemError) -> Bool {
        error.errno == ENOENT || error.errno == ENOTDIR
    }
}
