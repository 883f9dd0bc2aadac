internal import CLinux
internal import Glibc

/// A file that this process writes only while the path leads to the file that it found or created.
///
/// How it works: the claim is an O_PATH descriptor, so the kernel cannot reuse the inode number.
/// Every write opens the path, compares device and inode of the open file with the claim, and
/// writes to that open file. So it never reaches a file that was renamed over the path, or that a
/// detached mount uncovered. It writes in place, because a mount point cannot be renamed over; the
/// file keeps its mode, owner and links. `restore` undoes the writes, unless another program has
/// changed the file since.
final class ClaimedFile {
    /// The result of a write.
    enum Outcome: Equatable {
        case written
        /// The file already has that text.
        case unchanged
        /// The path now leads to another file, or to none.
        case replaced
    }

    /// The state of the path before the first write.
    private enum Former {
        case text([UInt8])
        case nothing
        /// A dangling symbolic link with this target.
        case deadLink(String)
    }

    private static let openFlags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY

    let path: String
    private let claim: OwnedDescriptor
    private var former: Former?
    /// The text that this process gave the file; nil before the first write.
    private var written: [UInt8]?

    /// Claims the regular file at a path; symbolic links are followed.
    ///
    /// - Parameter path: Absolute.
    /// - Throws: `SystemError`: ENOENT if the file does not exist, EINVAL if it is not a regular
    ///   file.
    convenience init(existing path: String) throws(SystemError) {
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                open(path, Int32(CLINUX_O_PATH) | O_CLOEXEC)
            }
        )
        var status = stat()
        try systemCall("stat \(path)") { fstat(file.number, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw SystemError(call: "\(path) is not a regular file", errno: EINVAL)
        }
        self.init(path, file, former: nil)
    }

    /// Creates a file where none exists, and claims it; a dangling symbolic link is replaced.
    ///
    /// - Parameter path: Absolute.
    /// - Throws: `SystemError`: EEXIST if the path exists by now.
    convenience init(making path: String) throws(SystemError) {
        let target = try Self.removeDeadLink(path)
        let flags = O_CREAT | O_EXCL | O_RDWR | Self.openFlags
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(path, flags, 0o644) }
        )
        // Every user's programs read it, whatever the umask is.
        try systemCall("chmod \(path)") { fchmod(file.number, 0o644) }
        self.init(path, file, former: target.map { .deadLink($0) } ?? .nothing)
        written = []
    }

    private init(_ path: String, _ claim: consuming OwnedDescriptor, former: Former?) {
        self.path = path
        self.claim = claim
        self.former = former
    }

    /// Device and inode.
    var identity: FileIdentity { FileIdentity(of: claim) }

    /// Whether the file is the root of a mount: a bind mount of that file alone.
    ///
    /// Linux reports this since 5.8; on older kernels the result is false. See statx(2).
    var isMountPoint: Bool {
        var status = clinux_statx()
        let flags = Int32(CLINUX_AT_EMPTY_PATH)
        guard clinux_statx(claim.number, "", flags, 0, &status) == 0 else { return false }
        return status.attributes & UInt64(CLINUX_STATX_ATTR_MOUNT_ROOT) != 0
    }

    /// Whether a process finds this file at the path, in its own mount namespace.
    ///
    /// - Parameter process: The process ID.
    /// - Returns: Also false if this process may not look.
    func isSeen(by process: Int32) -> Bool {
        do {
            // Resolved first: an absolute symbolic link would lead back to this process's own root.
            let target = try FileLink.resolved(path)
            return FileIdentity(at: "/proc/\(process)/root\(target)") == identity
        } catch {
            return false
        }
    }

    /// Replaces the text if the path still leads to the file.
    ///
    /// - Parameter newText: The complete text.
    /// - Returns: Whether the text was written, or why not.
    /// - Throws: `SystemError`, such as EROFS.
    func write(_ newText: String) throws(SystemError) -> Outcome {
        let octets = Array(newText.utf8)
        if octets == written { return .unchanged }
        guard let file = try openSame() else { return .replaced }
        if former == nil {
            let found = try text(of: file)
            guard found != octets else {
                // An earlier process wrote it and was killed: nothing to write, nothing to restore.
                written = octets
                return .unchanged
            }
            former = .text(found)
        }
        try TextFile.overwrite(file, with: octets, named: path)
        written = octets
        return .written
    }

    /// Restores the state before the first write.
    ///
    /// - Returns: False if nothing was written, or another program has changed the file since.
    /// - Throws: `SystemError`.
    func restore() throws(SystemError) -> Bool {
        guard let former, let written else { return false }
        self.written = nil
        switch former {
        case .text(let octets):
            // After its mount was detached, the file has no path here, but it is still the file
            // that was written.
            guard let file = try openAnywhere(), try text(of: file) == written else {
                return false
            }
            try TextFile.overwrite(file, with: octets, named: path)
            return true
        case .nothing:
            return try remove(written)
        case .deadLink(let target):
            guard try remove(written) else { return false }
            try systemCall("symlink \(path)") { symlink(target, path) }
            return true
        }
    }

    // MARK: The file at the path

    /// Opens the path for reading and writing; returns nil if it leads to another file or to none.
    private func openSame() throws(SystemError) -> OwnedDescriptor? {
        do {
            let file = OwnedDescriptor(
                adopting: try systemCall("open \(path)") { open(path, O_RDWR | Self.openFlags) }
            )
            guard FileIdentity(of: file) == identity else { return nil }
            return file
        } catch {
            if TextFile.isAbsence(error) || FileIdentity(at: path) != identity { return nil }
            throw error
        }
    }

    /// Opens the claimed file even if the path does not lead to it; returns nil if it has no name
    /// left.
    private func openAnywhere() throws(SystemError) -> OwnedDescriptor? {
        if let file = try openSame() { return file }
        var status = stat()
        guard fstat(claim.number, &status) == 0, status.st_nlink > 0 else { return nil }
        let itself = "/proc/self/fd/\(claim.number)"
        return OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(itself, O_RDWR | Self.openFlags) }
        )
    }

    private func text(of file: borrowing OwnedDescriptor) throws(SystemError) -> [UInt8] {
        guard let text = try TextFile.read(file, named: path) else {
            throw SystemError(call: "read \(path)", errno: EFBIG)
        }
        return text
    }

    /// Removes the file if the path leads to it and still has this process's text.
    private func remove(_ written: [UInt8]) throws(SystemError) -> Bool {
        guard let file = try openSame(), try text(of: file) == written,
            FileIdentity(at: path, followsLink: false) == identity
        else { return false }
        try systemCall("unlink \(path)") { unlink(path) }
        return true
    }

    /// Removes a symbolic link, and nothing else.
    ///
    /// - Returns: The link's target; nil if the path is not a link.
    private static func removeDeadLink(_ path: String) throws(SystemError) -> String? {
        guard let target = target(of: path) else { return nil }
        // Renamed first, so that a file that another program put there is not removed.
        let aside = FreshName.beside(path)
        try systemCall("rename \(path)") { rename(path, aside) }
        guard self.target(of: aside) == target else {
            try systemCall("rename \(aside)") { rename(aside, path) }
            throw SystemError(call: "replace \(path)", errno: EEXIST)
        }
        try systemCall("unlink \(aside)") { unlink(aside) }
        return target
    }

    private static func target(of path: String) -> String? {
        let capacity = Int(PATH_MAX)
        var target = [CChar](repeating: 0, count: capacity)
        let length = readlink(path, &target, capacity)
        guard length >= 0 else { return nil }
        return String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
