internal import CLinux
internal import Glibc

/// The place of a file that this program writes: an open directory, and a name in it.
///
/// How it works: a directory is shared if its group or others can write to it, or if it belongs to
/// another user. In a shared directory, someone else may put a symbolic link, a hard link, a named
/// pipe or a file of their own where the program expects its file. Therefore the path is walked one
/// name at a time, and each step starts at an open directory, so that nothing can be exchanged
/// between a check and its use:
///
/// - No link in a world-writable directory is followed. In any other shared directory, only links
///   of root and of this user are followed. Elsewhere, links are followed as usual.
/// - A file that exists in a shared directory must belong to this user, to root or to the owner of
///   the directory, and a regular file must have no second name.
///
/// The owner of the root directory counts as root: in a user namespace, the machine's root has
/// another number. bind(2) takes no directory, so the place of a socket is compared with its path
/// afterwards. See path_resolution(7), open(2) (O_PATH, O_NOFOLLOW).
struct OutputPath: ~Copyable {
    private static let maximumLinks = 40
    private static let directoryFlags = Int32(CLINUX_O_PATH) | O_DIRECTORY | O_CLOEXEC

    /// The path as the user wrote it.
    let path: String
    /// The directory that the file is in.
    let directory: OwnedDescriptor
    /// The file's name in the directory.
    let name: String
    /// Whether the name is one of /proc's links to open files, which only the kernel can follow.
    private let isMagicLink: Bool
    private let directoryStatus: stat

    /// Walks to a file, which may be missing.
    ///
    /// - Parameters:
    ///   - path: Absolute or relative.
    ///   - call: The call for the error message.
    ///   - followsLast: Whether to follow a symbolic link at the end of the path; bind(2) does not.
    /// - Throws: `SystemError` that names the path: EPERM for a link that others control.
    init(_ path: String, for call: String = "open", followsLast: Bool = true) throws(SystemError) {
        var walk = try Walk(path, call)
        let last = try walk.run(followsLast: followsLast)
        let status = try walk.directoryStatus()
        self.path = path
        name = last.name
        isMagicLink = last.isMagicLink
        directoryStatus = status
        directory = walk.takeDirectory()
    }

    /// What the name leads to; nil if nothing does.
    var status: stat? {
        var status = stat()
        let flags = isMagicLink ? 0 : AT_SYMLINK_NOFOLLOW
        return fstatat(directory.number, name, &status, flags) == 0 ? status : nil
    }

    /// Opens or creates the file without waiting for anything.
    ///
    /// - Parameters:
    ///   - flags: The access mode, and flags such as O_CREAT; O_TRUNC would act before the checks.
    ///   - mode: The permission bits of a new file; umask(2) may remove some.
    /// - Returns: The file, in non-blocking mode.
    /// - Throws: `SystemError` that names the path: EPERM for a file that others control.
    func open(_ flags: Int32, mode: mode_t = 0o600) throws(SystemError) -> OwnedDescriptor {
        // A named pipe must be checked before it is opened: that may wake up its reader.
        if let status { try check(status) }
        let safe = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (isMagicLink ? 0 : O_NOFOLLOW)
        let file = OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                openat(directory.number, name, flags | safe, mode)
            }
        )
        var opened = stat()
        try systemCall("stat \(path)") { fstat(file.number, &opened) }
        try check(opened)
        return file
    }

    private func check(_ status: stat) throws(SystemError) {
        guard Self.isShared(directoryStatus) else { return }
        guard Self.isTrusted(status.st_uid) || status.st_uid == directoryStatus.st_uid else {
            throw Self.refusal("open \(path)", "it belongs to another user")
        }
        guard status.st_mode & S_IFMT != S_IFREG || status.st_nlink <= 1 else {
            throw Self.refusal("open \(path)", "it has a second name (a hard link)")
        }
    }

    private static func isShared(_ directory: stat) -> Bool {
        directory.st_mode & (S_IWGRP | S_IWOTH) != 0 || !isTrusted(directory.st_uid)
    }

    private static func isTrusted(_ user: uid_t) -> Bool {
        if user == 0 || user == geteuid() { return true }
        var root = stat()
        return stat("/", &root) == 0 && root.st_uid == user
    }

    private static func refusal(_ call: String, _ cause: String) -> SystemError {
        SystemError(
            call: call,
            errno: EPERM,
            explanation: "\(cause) in a directory that others can write to"
        )
    }

    /// A walk in progress.
    private struct Walk: ~Copyable {
        /// For error messages.
        private let call: String
        private var directory: OwnedDescriptor
        private var links = 0
        /// The names that remain, last first.
        var names: [String]

        init(_ path: String, _ call: String) throws(SystemError) {
            self.call = "\(call) \(path)"
            directory = try Self.open(path.hasPrefix("/") ? "/" : ".", in: AT_FDCWD, for: self.call)
            names = path.hasSuffix("/") ? [] : Self.names(of: path)
        }

        private static func names(of path: String) -> [String] {
            path.utf8.split(separator: UInt8(ascii: "/")).reversed()
                .map { String(decoding: $0, as: UTF8.self) }
                .filter { $0 != "." }
        }

        private static func open(
            _ name: String,
            in directory: Int32,
            _ flags: Int32 = 0,
            for call: String
        ) throws(SystemError) -> OwnedDescriptor {
            OwnedDescriptor(
                adopting: try systemCall(call) {
                    openat(directory, name, OutputPath.directoryFlags | flags)
                }
            )
        }

        consuming func takeDirectory() -> OwnedDescriptor { directory }

        /// Walks to the directory of the last name.
        mutating func run(
            followsLast: Bool
        ) throws(SystemError) -> (name: String, isMagicLink: Bool) {
            while let name = names.popLast() {
                let status = try status(of: name)
                let isFollowed = followsLast || !names.isEmpty
                let isLink = isFollowed && (status.map { $0.st_mode & S_IFMT == S_IFLNK } ?? false)
                let isMagicLink = isLink && isMagic(status)
                if isLink, !isMagicLink {
                    try follow(name, status)
                } else if names.isEmpty, name != ".." {
                    return (name, isMagicLink)
                } else {
                    try descend(into: name, following: isMagicLink)
                }
            }
            throw SystemError(call: call, errno: EISDIR)
        }

        /// The status of a name itself; nil if it does not exist.
        func status(of name: String) throws(SystemError) -> stat? {
            var status = stat()
            if fstatat(directory.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0 { return status }
            guard errno == ENOENT else { throw SystemError(call: call, errno: errno) }
            return nil
        }

        func directoryStatus() throws(SystemError) -> stat {
            var status = stat()
            try systemCall(call) { fstat(directory.number, &status) }
            return status
        }

        /// Whether a link is on the /proc file system.
        func isMagic(_ link: stat?) -> Bool {
            var proc = stat()
            return stat("/proc/self", &proc) == 0 && proc.st_dev == link?.st_dev
        }

        mutating func descend(into name: String, following: Bool) throws(SystemError) {
            let flags = following ? 0 : O_NOFOLLOW
            directory = try Self.open(name, in: directory.number, flags, for: call)
        }

        /// Replaces a link by the names in it.
        mutating func follow(_ name: String, _ link: stat?) throws(SystemError) {
            let folder = try directoryStatus()
            let isOurs = link.map { OutputPath.isTrusted($0.st_uid) } ?? false
            guard !OutputPath.isShared(folder) || (isOurs && folder.st_mode & S_IWOTH == 0) else {
                throw OutputPath.refusal(call, "\(name) is a symbolic link")
            }
            links += 1
            guard links <= OutputPath.maximumLinks else {
                throw SystemError(call: call, errno: ELOOP)
            }
            let target = try target(of: name)
            if target.hasPrefix("/") { directory = try Self.open("/", in: AT_FDCWD, for: call) }
            names += Self.names(of: target)
        }

        private func target(of name: String) throws(SystemError) -> String {
            let capacity = Int(PATH_MAX)
            var target = [CChar](repeating: 0, count: capacity)
            let length = readlinkat(directory.number, name, &target, capacity)
            guard length >= 0 else { throw SystemError(call: call, errno: errno) }
            let octets = target[..<length].map { UInt8(bitPattern: $0) }
            return String(decoding: octets, as: UTF8.self)
        }
    }
}
