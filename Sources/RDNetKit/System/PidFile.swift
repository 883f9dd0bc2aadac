internal import Glibc

/// A file that identifies a process to other programs: its ID in decimal and nothing else, not even
/// a line feed.
final class PidFile {
    private let path: String
    private let text: String
    /// Keeps the inode number from being reused.
    private let file: OwnedDescriptor

    /// Writes the file with mode 0600, for its owner only.
    ///
    /// - Parameters:
    ///   - path: Replaced atomically if it exists.
    ///   - process: The process ID.
    /// - Throws: `SystemError` that names the path.
    init(_ path: String, of process: Int32) throws(SystemError) {
        self.path = path
        text = "\(process)"
        file = try AtomicFile.opened(path, with: text, mode: 0o600)
    }

    /// Removes the file, unless the path leads to another one or it names another process by now.
    ///
    /// See unlink(2).
    ///
    /// - Throws: `SystemError` when the file exists and cannot be read or removed.
    func remove() throws(SystemError) {
        let identity = FileIdentity(of: file)
        do throws(SystemError) {
            // Opened as it was written: a link that others put there meanwhile is not followed.
            let target = try OutputPath(path)
            let found = try target.open(O_RDONLY)
            guard FileIdentity(of: found) == identity,
                try TextFile.read(found, named: path) == Array(text.utf8)
            else { return }
            try systemCall("unlink \(path)") {
                unlinkat(target.directory.number, target.name, 0)
            }
        } catch {
            if !TextFile.isAbsence(error) { throw error }
        }
    }
}
