internal import CLinux
internal import Glibc

/// Why a directory cannot hold a process's state.
enum StateDirectoryError: Error, Equatable, CustomStringConvertible {
    /// Another process holds the lock.
    case inUse
    /// Every user can put files there.
    case writableByOthers
    case failed(SystemError)

    var description: String {
        switch self {
        case .inUse: "another process uses this directory"
        case .writableByOthers: "other users can write to this directory"
        case .failed(let error): error.reason
        }
    }
}

/// A directory with one file that outlives the process, for one process at a time.
///
/// How it works: a lock on `state.lock` keeps other processes out until this one and its children
/// have closed it; see flock(2). The file is replaced as a whole: the content goes to a new file,
/// which is synchronized to the disk and renamed, and then the directory is synchronized. A reader
/// therefore finds the old or the new content, also after a power failure. A file that this process
/// cannot use is renamed to `state.json.bad` and replaces the one that had that name.
struct StateDirectory: ~Copyable {
    /// What the file holds.
    enum Content: Equatable {
        case absent
        case octets([UInt8])
        /// The file cannot be used, for this reason.
        case unusable(String)
    }

    static let fileName = "state.json"
    static let asideName = "state.json.bad"
    private static let lockName = "state.lock"
    private static let newName = "state.json.new"
    /// The maximum size of the file in bytes.
    static let limit = 8 << 20
    /// A process that was killed may still be writing its last state.
    private static let lockAttempts = 40
    private static let lockInterval: UInt32 = 50_000

    /// The numbers of the open directory and of its lock.
    struct Descriptors {
        let directory: Int32
        let lock: Int32
    }

    let path: String
    private let directory: OwnedDescriptor
    private let lock: OwnedDescriptor

    /// Valid while the directory lives.
    var descriptors: Descriptors {
        Descriptors(directory: directory.number, lock: lock.number)
    }

    /// Opens and locks a directory; creates it with mode 0700 if it does not exist.
    ///
    /// A directory that others may have prepared is an error (`OutputPath`). This waits for
    /// at most two seconds for the lock. See open(2), flock(2).
    ///
    /// - Parameters:
    ///   - path: The directory; its parent exists.
    ///   - owner: The user that will write the file, if it is not this process's user.
    /// - Throws: `StateDirectoryError`.
    init(_ path: String, for owner: AccountFile.User?) throws(StateDirectoryError) {
        let directory = try Self.opened { () throws(SystemError) in
            try Self.openDirectory(path, for: owner)
        }
        let number = directory.number
        let lock = try Self.opened { () throws(SystemError) in
            try Self.openLock(in: number, for: owner)
        }
        guard Self.status(of: directory.number).st_mode & S_IWOTH == 0 else {
            throw .writableByOthers
        }
        try Self.acquire(lock.number)
        self.path = path
        self.directory = directory
        self.lock = lock
    }

    private static func opened(
        _ open: () throws(SystemError) -> OwnedDescriptor
    ) throws(StateDirectoryError) -> OwnedDescriptor {
        do {
            return try open()
        } catch {
            throw .failed(error)
        }
    }

    private static func openDirectory(
        _ path: String,
        for owner: AccountFile.User?
    ) throws(SystemError) -> OwnedDescriptor {
        // To `OutputPath`, a slash at the end is a file without a name.
        let slashes = path.utf8.reversed().prefix { $0 == UInt8(ascii: "/") }.count
        let place = try OutputPath(String(path.utf8.dropLast(slashes)) ?? path)
        let isNew = mkdirat(place.directory.number, place.name, 0o700) == 0
        if !isNew, errno != EEXIST { throw SystemError(call: "mkdir \(path)", errno: errno) }
        let directory = try place.open(O_RDONLY | O_DIRECTORY)
        if isNew { try give(directory, to: owner) }
        return directory
    }

    private static func openLock(
        in number: Int32,
        for owner: AccountFile.User?
    ) throws(SystemError) -> OwnedDescriptor {
        let flags = O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
        let lock = OwnedDescriptor(
            adopting: try systemCall("open \(lockName)") {
                openat(number, lockName, flags, 0o600)
            }
        )
        try give(lock, to: owner)
        return lock
    }

    private static func give(
        _ file: borrowing OwnedDescriptor,
        to owner: AccountFile.User?
    ) throws(SystemError) {
        guard let owner else { return }
        let number = file.number
        try systemCall("chown") { fchown(number, owner.user, owner.group) }
    }

    /// Takes over the open and locked directory of the parent process.
    init(_ path: String, adopting descriptors: Descriptors) {
        self.path = path
        directory = OwnedDescriptor(adopting: descriptors.directory)
        lock = OwnedDescriptor(adopting: descriptors.lock)
    }

    private static func acquire(_ number: Int32) throws(StateDirectoryError) {
        for attempt in 1...lockAttempts {
            if flock(number, LOCK_EX | LOCK_NB) == 0 { return }
            guard errno == EWOULDBLOCK else {
                throw .failed(SystemError(call: "flock", errno: errno))
            }
            if attempt < lockAttempts { usleep(lockInterval) }
        }
        throw .inUse
    }

    private static func status(of number: Int32) -> stat {
        var status = stat()
        guard fstat(number, &status) == 0 else {
            preconditionFailure("an open file has a status: errno \(errno)")
        }
        return status
    }

    // MARK: The file

    /// Reads the file if it is a regular file that only this user, or the directory's, can write.
    ///
    /// See openat(2), read(2).
    func read() -> Content {
        let number = directory.number
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
        do throws(SystemError) {
            let file = OwnedDescriptor(
                adopting: try systemCall("open") { openat(number, Self.fileName, flags) }
            )
            if let reason = distrust(file) { return .unusable(reason) }
            let octets = try TextFile.read(file, named: "it", upTo: Self.limit)
            return octets.map { .octets($0) } ?? .unusable("larger than \(Self.limit) bytes")
        } catch {
            if error.errno == ENOENT { return .absent }
            if error.errno == ELOOP { return .unusable("a symbolic link") }
            return .unusable(error.description)
        }
    }

    /// Why a file may be somebody else's; nil if it is not.
    private func distrust(_ file: borrowing OwnedDescriptor) -> String? {
        let status = Self.status(of: file.number)
        if status.st_mode & S_IFMT != S_IFREG { return "not a regular file" }
        let owner = Self.status(of: directory.number).st_uid
        if status.st_uid != geteuid(), status.st_uid != owner {
            return "the file of another user (\(status.st_uid))"
        }
        return status.st_mode & (S_IWGRP | S_IWOTH) == 0 ? nil : "writable by other users"
    }

    /// Renames the file, of any type, to `state.json.bad`.
    ///
    /// See renameat(2).
    func setAside() throws(SystemError) {
        let number = directory.number
        try systemCall("rename \(Self.fileName)") {
            renameat(number, Self.fileName, number, Self.asideName)
        }
    }

    /// Replaces the file's content; waits for the disk.
    ///
    /// The name of the new file is fixed, so that one that a killed process left is removed.
    ///
    /// - Throws: `SystemError`, such as ENOSPC; the old content stays then.
    func replace(with octets: [UInt8]) throws(SystemError) {
        _ = unlinkat(directory.number, Self.newName, 0)
        _ = try AtomicFile.replace(
            Self.fileName,
            in: directory.number,
            with: octets,
            mode: 0o600,
            by: Self.newName,
            isDurable: true,
            named: Self.fileName
        )
    }
}
