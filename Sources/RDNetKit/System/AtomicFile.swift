internal import CLinux
internal import Glibc

/// Replaces small text files as a whole.
enum AtomicFile {
    /// Replaces a file's content.
    ///
    /// Readers of the path see either the old or the new text: the text goes into a new file, which
    /// is renamed over the old one. If the path is a symbolic link, its target is replaced. If this
    /// fails, because the file is a mount point or its directory is not writable, the text is
    /// written into the file itself. A device or a directory is never replaced. A symbolic link in
    /// a world-writable directory is not followed, because anyone may have put it there. See
    /// rename(2).
    ///
    /// - Parameters:
    ///   - path: Absolute.
    ///   - text: The whole content.
    ///   - mode: The permission bits; nil keeps the old file's.
    /// - Throws: `SystemError`: EINVAL for anything but a regular file, ELOOP for a link in a
    ///   shared directory, or the error of the write in place.
    static func replace(
        _ path: String,
        with text: String,
        mode: UInt32? = nil
    ) throws(SystemError) {
        let target = try checkedTarget(path)
        let temporary = "\(target).\(getpid()).new"
        do {
            try write(text, to: temporary, flags: O_CREAT | O_EXCL | O_WRONLY)
            setMode(of: temporary, to: mode ?? self.mode(of: target))
            do {
                try systemCall("rename \(temporary)") { rename(temporary, target) }
            } catch {
                _ = unlink(temporary)
                throw error
            }
        } catch {
            try write(text, to: target, flags: O_CREAT | O_TRUNC | O_NOFOLLOW | O_WRONLY)
            if let mode { setMode(of: target, to: mode) }
        }
    }

    /// The old file's permission bits, so that its readers can read the new file whatever the umask
    /// is.
    private static func mode(of path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0o644
    }

    private static func setMode(of path: String, to mode: mode_t) {
        // If this fails, the file keeps the mode that the umask made of 0644.
        _ = chmod(path, mode)
    }

    /// Resolves symbolic links; the target must be a regular file or not exist yet.
    private static func checkedTarget(_ path: String) throws(SystemError) -> String {
        let target = resolved(path)
        var status = stat()
        if stat(target, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw SystemError(call: "\(path) is not a regular file", errno: EINVAL)
        }
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return target }
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let directory = folder.isEmpty ? "." : folder.joined(separator: "/") + "/"
        if stat(directory, &status) == 0, status.st_mode & S_IWOTH != 0 {
            throw SystemError(call: "\(path) is a link in a shared directory", errno: ELOOP)
        }
        return target
    }

    /// Resolves symbolic links; returns the path itself if that fails.
    private static func resolved(_ path: String) -> String {
        do {
            return try FileLink.resolved(path)
        } catch {
            return path
        }
    }

    private static func write(_ text: String, to path: String, flags: Int32) throws(SystemError) {
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(path, flags | O_CLOEXEC, 0o644) }
        )
        let (number, octets) = (descriptor.number, Array(text.utf8))
        var written = 0
        while written < octets.count {
            written += try systemCall("write \(path)") {
                // Sound: the pointer to the rest of the array is used only during the call.
                octets[written...].withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
            }
        }
    }
}
