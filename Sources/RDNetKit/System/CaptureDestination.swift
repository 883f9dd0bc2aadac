internal import CLinux
internal import Glibc

/// An open capture file.
final class CaptureDestination {
    private let descriptor: OwnedDescriptor

    /// Opens or creates the file.
    ///
    /// See open(2).
    ///
    /// - Parameters:
    ///   - path: The file's path; its directory must exist.
    ///   - appending: Whether to keep the file's content.
    /// - Throws: `SystemError`.
    init(_ path: String, appending: Bool) throws(SystemError) {
        descriptor = OwnedDescriptor(
            adopting: try systemCall("open") {
                open(
                    path,
                    O_WRONLY | O_CREAT | O_CLOEXEC | (appending ? O_APPEND : O_TRUNC),
                    0o600
                )
            }
        )
    }

    /// Appends bytes.
    ///
    /// - Parameter octets: The bytes.
    /// - Throws: `SystemError`; on a full disk some of the bytes are written.
    func write(_ octets: [UInt8]) throws(SystemError) {
        let number = descriptor.number
        var offset = 0
        while offset < octets.count {
            let start = offset
            // Sound: the pointer is used inside the closure only.
            offset += try systemCall("write") {
                octets.withUnsafeBytes {
                    Glibc.write(
                        number,
                        $0.baseAddress?.advanced(by: start),
                        octets.count - start
                    )
                }
            }
        }
    }
}
