internal import CLinux
internal import Glibc

/// A file that a capture is written to.
final class CaptureDestination {
    private let descriptor: OwnedDescriptor

    /// Opens or makes the file.
    ///
    /// See open(2).
    ///
    /// - Parameters:
    ///   - path: Its directory must exist.
    ///   - appending: Whether what is in the file stays.
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

    /// Appends octets.
    ///
    /// - Parameter octets: All or, on a full disk, some of them are written.
    /// - Returns: Whether all were.
    func write(_ octets: [UInt8]) -> Bool {
        let number = descriptor.number
        var offset = 0
        while offset < octets.count {
            let start = offset
            do {
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
            } catch {
                return false
            }
        }
        return true
    }
}
