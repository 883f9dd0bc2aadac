internal import CLinux
internal import Glibc

/// Identifies a file by device and inode, whatever its names are.
///
/// The identity is unique only while the file exists: keep a descriptor of the file open to compare
/// with it later. See inode(7).
struct FileIdentity: Equatable {
    private let device: UInt64
    private let inode: UInt64

    /// The identity for comparison by another process of this machine.
    var text: String { "\(device):\(inode)" }

    private init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    /// Creates the identity of the file at a path; nil if the file does not exist or this process
    /// may not look.
    ///
    /// - Parameters:
    ///   - path: Absolute.
    ///   - followsLink: Whether to follow a symbolic link at the end of the path.
    init?(at path: String, followsLink: Bool = true) {
        self.init(at: path, in: AT_FDCWD, followsLink: followsLink)
    }

    /// Creates the identity of a name in a directory; a symbolic link is not followed.
    init?(named name: String, in directory: borrowing OwnedDescriptor) {
        self.init(at: name, in: directory.number, followsLink: false)
    }

    /// The identity of a unix socket's file; nil if the path leads to anything else.
    ///
    /// A symbolic link is not followed.
    init?(ofSocket path: String) {
        guard let status = Self.status(of: path, in: AT_FDCWD, followsLink: false),
            status.st_mode & S_IFMT == S_IFSOCK
        else { return nil }
        self.init(status)
    }

    private init?(at path: String, in directory: Int32, followsLink: Bool) {
        guard let status = Self.status(of: path, in: directory, followsLink: followsLink)
        else { return nil }
        self.init(status)
    }

    private static func status(of path: String, in directory: Int32, followsLink: Bool) -> stat? {
        var status = stat()
        let flags = followsLink ? 0 : AT_SYMLINK_NOFOLLOW
        return fstatat(directory, path, &status, flags) == 0 ? status : nil
    }

    /// Creates the identity of an open file.
    init(of file: borrowing OwnedDescriptor) {
        var status = stat()
        guard fstat(file.number, &status) == 0 else {
            preconditionFailure("an open file has an inode: errno \(errno)")
        }
        self.init(status)
    }
}
