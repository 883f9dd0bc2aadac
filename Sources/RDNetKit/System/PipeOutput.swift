internal import CLinux
internal import Glibc

/// A named pipe, or a file, to which a program writes that does nothing else.
final class PipeOutput {
    private let descriptor: OwnedDescriptor

    /// Opens an existing pipe or file, and waits for the pipe's reader.
    ///
    /// See open(2), fifo(7).
    ///
    /// - Throws: `SystemError` that names the path.
    init(_ path: String) throws(SystemError) {
        descriptor = OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(path, O_WRONLY | O_CLOEXEC) }
        )
    }

    /// Writes bytes, and waits for the reader.
    ///
    /// - Returns: False if nobody reads them.
    func write(_ octets: [UInt8]) -> Bool {
        var rest = octets[...]
        while !rest.isEmpty {
            let number = descriptor.number
            // Sound: the pointer is used only during the call.
            let written = rest.withUnsafeBytes { SignallessWrite.write(number, $0) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}
