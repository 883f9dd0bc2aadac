internal import CLinux
internal import Glibc

/// Replaces small text files as a whole.
enum AtomicFile {
    /// Replaces a file's content.
    ///
    /// Readers of the path see either the old or the new text: the text goes into a new file with a
    /// fresh name, which is renamed over the old one. If this fails, the old file stays as it was,
    /// and the new one is removed. The text is written into the old file itself only where nothing
    /// can be renamed over it: if it is a mount point, or if its directory is not writable. A
    /// device or a directory is never replaced. `OutputPath` says which symbolic links are
    /// followed; the target of such a link is replaced. See rename(2).
    ///
    /// - Parameters:
    ///   - path: Absolute.
    ///   - text: The whole content.
    ///   - mode: The permission bits; nil keeps the old file's.
    /// - Throws: `SystemError` that names the path: EINVAL for anything but a regular file, EPERM
    ///   for a link or a file that others control.
    static func replace(
        _ path: String,
        with text: String,
        mode: UInt32? = nil
    ) throws(SystemError) {
        _ = try opened(path, with: text, mode: mode)
    }

    /// Replaces a file's content, as `replace` does, and returns the file, open for writing.
    static func opened(
        _ path: String,
        with text: String,
        mode: UInt32?
    ) throws(SystemError) -> OwnedDescriptor {
        let target = try OutputPath(path)
        let former = target.status
        if let former, former.st_mode & S_IFMT != S_IFREG {
            throw SystemError(call: "\(path) is not a regular file", errno: EINVAL)
        }
        // The old file's readers must be able to read the new file, whatever the umask is.
        let newMode = mode ?? (former?.st_mode).map { $0 & 0o777 } ?? 0o644
        let octets = Array(text.utf8)
        do throws(SystemError) {
            return try replace(
                target.name,
                in: target.directory.number,
                with: octets,
                mode: newMode,
                named: path
            )
        } catch {
            guard former != nil, [EBUSY, EACCES, EPERM, EROFS].contains(error.errno) else {
                throw error
            }
            let file = try target.open(O_WRONLY)
            try TextFile.overwrite(file, with: octets, named: path)
            // If this fails, the file keeps its mode.
            if mode != nil { _ = fchmod(file.number, newMode) }
            return file
        }
    }

    /// Writes a new file and renames it over another; a failure leaves nothing behind.
    ///
    /// See openat(2), renameat(2), fsync(2).
    ///
    /// - Parameters:
    ///   - name: The name of the old file, or of none.
    ///   - directory: The directory that the name is in.
    ///   - octets: The whole content.
    ///   - mode: The permission bits.
    ///   - newName: The name of the new file until it is complete; nothing has it.
    ///   - isDurable: Whether to wait until the content and the name are on the disk.
    ///   - path: The path for the error message.
    /// - Returns: The new file, open for writing.
    /// - Throws: `SystemError` that names the path.
    static func replace(
        _ name: String,
        in directory: Int32,
        with octets: [UInt8],
        mode: mode_t,
        by newName: String = FreshName.make(),
        isDurable: Bool = false,
        named path: String
    ) throws(SystemError) -> OwnedDescriptor {
        let flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") { openat(directory, newName, flags, 0o600) }
        )
        let number = file.number
        do throws(SystemError) {
            try TextFile.overwrite(file, with: octets, named: path)
            try systemCall("chmod \(path)") { fchmod(number, mode) }
            if isDurable { try systemCall("fsync \(path)") { fsync(number) } }
            try systemCall("rename \(path)") { renameat(directory, newName, directory, name) }
        } catch {
            _ = unlinkat(directory, newName, 0)
            throw error
        }
        if isDurable { try systemCall("fsync \(path)") { fsync(directory) } }
        return file
    }
}
