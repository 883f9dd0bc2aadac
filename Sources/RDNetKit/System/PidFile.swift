internal import Glibc

/// A file that identifies a process to other programs: its ID in decimal and nothing else, not even
/// a line feed.
struct PidFile: Equatable {
    let path: String
    let process: Int32

    /// Writes the file with mode 0600, for its owner only.
    ///
    /// - Throws: `SystemError` that names the path.
    func write() throws(SystemError) {
        try AtomicFile.replace(path, with: "\(process)", mode: 0o600)
    }

    /// Removes the file unless it now names another process.
    ///
    /// See unlink(2).
    ///
    /// - Throws: `SystemError` when the file exists and cannot be read or removed.
    func remove() throws(SystemError) {
        do throws(SystemError) {
            guard try TextFile.read(path) == Array("\(process)".utf8) else { return }
            try systemCall("unlink \(path)") { unlink(path) }
        } catch {
            if !TextFile.isAbsence(error) { throw error }
        }
    }
}
