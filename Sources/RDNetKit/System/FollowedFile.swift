internal import CLinux
internal import Glibc

/// A small text file that other programs rewrite, read again when it has changed.
///
/// A stat at most once a second, when somebody asks, finds a change by device, inode, size, and the
/// times of writing and renaming: no watch, no thread. A file that is missing, is no regular file
/// or may not be read counts as empty.
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
    /// How much is read at most, in octets; what follows is ignored.
    let limit: Int
    private var state = State.neverRead
    private var nextLook: Instant?
    /// Whether the file, when it was last read, was larger than `limit`.
    private(set) var isCut = false

    init(path: String, limit: Int) {
        self.path = path
        self.limit = limit
    }

    /// Looks at the file.
    ///
    /// - Parameter now: The caller's clock.
    /// - Returns: All octets, the first time and after a change; nil when nothing is new.
    mutating func contentsIfChanged(now: Instant) -> [UInt8]? {
        if let nextLook, now < nextLook { return nil }
        nextLook = now + Self.interval
        let found = look()
        guard found != state else { return nil }
        state = found
        isCut = false
        guard case .read = found else { return [] }
        do {
            let contents = try read()
            // A byte more than the limit was asked for.
            isCut = contents.count > limit
            return isCut ? Array(contents[..<limit]) : contents
        } catch {
            return []
        }
    }

    private func look() -> State {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return .absent }
        return .read(Identity(status))
    }

    private func read() throws(SystemError) -> [UInt8] {
        let number = try systemCall("open \(path)") {
            open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        let file = OwnedDescriptor(adopting: number)
        let chunk = ReceiveBuffer()
        var contents: [UInt8] = []
        while contents.count <= limit {
            let room = min(chunk.memory.count, limit + 1 - contents.count)
            let (number, memory) = (file.number, chunk.memory)
            let count = try systemCall("read \(path)") {
                Glibc.read(number, memory.baseAddress, room)
            }
            if count == 0 { break }
            contents.append(contentsOf: memory[..<count])
        }
        return contents
    }
}
