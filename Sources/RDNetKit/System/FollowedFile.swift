internal import CLinux
internal import Glibc

/// A small text file that other programs rewrite; it is read again after a change.
///
/// Each query checks the file, but at most once a second. stat(2) reveals a change in device,
/// inode, size, modification time or status change time, so no watch and no thread are needed. A
/// file counts as empty if it is missing, not regular or not readable.
struct FollowedFile {
    private enum State: Equatable {
        case neverRead
        case absent
        case read(Identity)
    }

    private struct Identity: Equatable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var written: Instant
        var changed: Instant

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            written = Self.instant(status.st_mtim)
            changed = Self.instant(status.st_ctim)
        }

        private static func instant(_ time: timespec) -> Instant {
            Instant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
        }
    }

    private static let interval = Duration.seconds(1)

    let path: String
    /// Limit on the bytes that are read; the rest is ignored.
    let limit: Int
    private var state = State.neverRead
    private var nextLook: Instant?
    /// Whether the file was larger than `limit` when it was last read.
    private(set) var isCut = false

    init(path: String, limit: Int) {
        self.path = path
        self.limit = limit
    }

    /// Returns the file's content if it has changed.
    ///
    /// - Parameter now: The caller's clock.
    /// - Returns: All bytes, the first time and after a change; nil if nothing has changed.
    mutating func contentsIfChanged(now: Instant) -> [UInt8]? {
        if let nextLook, now < nextLook { return nil }
        nextLook = now + Self.interval
        let found = look()
        guard found != state else { return nil }
        let former = state
        state = found
        isCut = false
        guard case .read = found else { return [] }
        do {
            let contents = try read()
            // `read` reads one byte more than the limit.
            isCut = contents.count > limit
            return isCut ? Array(contents[..<limit]) : contents
        } catch {
            // Nothing is known about the file then, so what was known stays.
            if case .gone = error, former != .neverRead {
                state = former
                return nil
            }
            return []
        }
    }

    private func look() -> State {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return .absent }
        return .read(Identity(status))
    }

    private func read() throws(FileBroker.Failure) -> [UInt8] {
        let file = try open()
        let chunk = ReceiveBuffer()
        var contents: [UInt8] = []
        while contents.count <= limit {
            let room = min(chunk.memory.count, limit + 1 - contents.count)
            let (number, memory) = (file.number, chunk.memory)
            let count = try refusable { () throws(SystemError) in
                try systemCall("read \(path)") { Glibc.read(number, memory.baseAddress, room) }
            }
            if count == 0 { break }
            contents.append(contentsOf: memory[..<count])
        }
        return contents
    }

    private func open() throws(FileBroker.Failure) -> OwnedDescriptor {
        if let broker = FileBroker.current { return try broker.open(path) }
        let number = try refusable { () throws(SystemError) in
            try systemCall("open \(path)") {
                Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            }
        }
        return OwnedDescriptor(adopting: number)
    }

    /// Runs a system call whose failure is one of the file.
    private func refusable<Result>(
        _ call: () throws(SystemError) -> Result
    ) throws(FileBroker.Failure) -> Result {
        do {
            return try call()
        } catch {
            throw .refused(error)
        }
    }
}
