internal import Glibc

/// A file that names a process to other programs: its number in decimal and nothing else, not even
/// a line feed.
struct PidFile: Equatable {
    let path: String
    let process: Int32

    /// Writes the file, for its owner alone (mode 0600).
    ///
    /// - Throws: `SystemError` that names the path.
    func write() throws(SystemError) {
        try AtomicFile.replace(path, with: "\(process)", mode: 0o600)
    }

    /// Removes the file, unless it names another process by now.
    ///
    /// See unlink(2).
    ///
    /// - Throws: `SystemError` when it is there and cannot be read or removed.
    func remove() throws(SystemError) {
        do throws(SystemError) {
            guard try TextFile.read(path) == Array("\(process)".utf8) else { return }
            try systemCall("unlink \(path)") { unlink(path) }
        } catch {
            if !TextFile.isAbsence(error) { throw error }
        }
    }
}
