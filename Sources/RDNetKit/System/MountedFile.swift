internal import CLinux
internal import Glibc

/// A small in-memory file, mounted over a name for the processes of one mount namespace.
///
/// How it works: a short-lived child creates a private mount namespace and mounts a tmpfs there. It
/// writes the file, clones the mount of that one file, enters the target namespace and moves the
/// clone over the name. This needs no writable directory. The name may be a symbolic link, even a
/// dangling one: the mount covers the link itself. When a program removes the name or renames
/// another file over it, in any mount namespace, the kernel detaches the mount. Then `isInPlace` is
/// false, and `place` mounts a new file. Needs Linux 5.8. See open_tree(2), move_mount(2),
/// mount_namespaces(7).
final class MountedFile {
    private static let octetLimit = "size=64k"
    /// The name of the tmpfs in the mount table.
    private static let source = "rdnet"

    /// The directory, as this process reaches it.
    let directoryPath: String
    /// The file, as this process reaches it.
    var path: String { "\(directoryPath)/\(name)" }

    private let folder: String
    private let name: String
    private let process: Int32
    private let isElsewhere: Bool
    private let directory: OwnedDescriptor
    private var file: OwnedDescriptor?
    /// The text of the file.
    private var content: [UInt8] = []

    /// Creates the object; nothing is mounted yet.
    ///
    /// - Parameters:
    ///   - path: An absolute path; its last name need not lead anywhere.
    ///   - process: A process in the mount namespace; nil for this process, whose mounts are
    ///     private.
    /// - Throws: `SystemError` if the directory or the process does not exist.
    init(over path: String, of process: Int32? = nil) throws(SystemError) {
        let names = path.split(separator: "/")
        let folder = "/" + names.dropLast().joined(separator: "/")
        self.folder = folder
        name = names.last.map { String($0) } ?? ""
        directoryPath = process.map { "/proc/\($0)/root\(folder)" } ?? folder
        self.process = process ?? getpid()
        isElsewhere = process != nil
        directory = try Namespace.openDirectory(directoryPath)
        if isElsewhere { try adopt() }
    }

    /// Whether the name leads to the file.
    var isInPlace: Bool {
        switch file {
        case .some(let file): FileIdentity(named: name, in: directory) == FileIdentity(of: file)
        case .none: false
        }
    }

    /// Mounts a new file.
    ///
    /// - Parameter text: Its content.
    /// - Throws: `SystemError` with ENOENT if the name to mount over does not exist.
    func place(_ text: String) throws(SystemError) {
        let call = "mount over \(path)"
        guard FileIdentity(named: name, in: directory) != nil else {
            throw SystemError(call: call, errno: ENOENT)
        }
        let pair = try Socket.pair()
        let socket = pair.other.number
        try run(call) { () throws(SystemError) in try assemble(text, socket) }
        guard let received = try DescriptorPassing.receive(over: pair.one) else {
            throw SystemError(call: call, errno: EIO)
        }
        file = .some(received)
        content = Array(text.utf8)
    }

    /// Replaces the text of a file that is in place.
    ///
    /// - Returns: Whether the text changed.
    /// - Throws: `SystemError`, such as ENOSPC.
    func write(_ text: String) throws(SystemError) -> Bool {
        let octets = Array(text.utf8)
        switch file {
        case .none: preconditionFailure("only a file that is in place is written")
        case .some(let file):
            guard octets != content else { return false }
            try TextFile.overwrite(file, with: octets, named: path)
        }
        content = octets
        return true
    }

    /// Unmounts the file if it is in place.
    ///
    /// - Throws: `SystemError`.
    func remove() throws(SystemError) {
        guard isInPlace else { return }
        let flags = Int32(CLINUX_MNT_DETACH | CLINUX_UMOUNT_NOFOLLOW)
        let (directory, name) = (directory.number, name)
        try run("unmount \(path)") { () throws(SystemError) in
            if isElsewhere { try Namespace.enterMounts(of: process) }
            try systemCall("fchdir") { fchdir(directory) }
            try systemCall("umount") { umount2(name, flags) }
        }
        file = nil
    }

    /// Adopts the file of an earlier process that was killed.
    private func adopt() throws(SystemError) {
        let table = try TextFile.read("/proc/\(process)/mountinfo") ?? []
        let mountPoint = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
        // Field 5 is the mount point; type and source follow a hyphen. See proc(5).
        let mounts = String(decoding: table, as: UTF8.self).split(separator: "\n")
            .map { $0.split(separator: " ") }
            .filter { $0.count > 4 && $0[4] == mountPoint }
        guard let topmost = mounts.last, let hyphen = topmost.firstIndex(of: "-"),
            topmost[hyphen...].starts(with: ["-", "tmpfs", Substring(Self.source)])
        else { return }
        let (name, directory) = (name, directory.number)
        let found = OwnedDescriptor(
            adopting: try systemCall("open \(path)") {
                openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
            }
        )
        content = try TextFile.read(found, named: path) ?? []
        file = .some(found)
    }

    // MARK: The child

    private func assemble(_ text: String, _ socket: Int32) throws(SystemError) {
        let (folder, name, target) = (folder, name, directory.number)
        try systemCall("unshare") { unshare(Int32(CLINUX_CLONE_NEWNS)) }
        try Namespace.makeMountsPrivate()
        try systemCall("mount") { mount(Self.source, folder, "tmpfs", 0, Self.octetLimit) }
        try systemCall("chdir") { chdir(folder) }
        let file = OwnedDescriptor(
            adopting: try systemCall("open") {
                open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o644)
            }
        )
        try systemCall("chmod") { fchmod(file.number, 0o644) }
        try TextFile.overwrite(file, with: Array(text.utf8), named: name)
        let flags = UInt32(CLINUX_OPEN_TREE_CLONE) | UInt32(CLINUX_OPEN_TREE_CLOEXEC)
        let clone = OwnedDescriptor(
            adopting: try systemCall("open_tree") { open_tree(AT_FDCWD, name, flags) }
        )
        try Namespace.enterMounts(of: process)
        try systemCall("move_mount") {
            move_mount(clone.number, "", target, name, UInt32(CLINUX_MOVE_MOUNT_F_EMPTY_PATH))
        }
        // Closing it affects only the child.
        try DescriptorPassing.send(file.number, over: OwnedDescriptor(adopting: socket))
    }

    /// Runs a few system calls in a child process, and waits for its end.
    private func run(
        _ call: String,
        _ body: () throws(SystemError) -> Void
    ) throws(SystemError) {
        let child = try Namespace.fork {
            do throws(SystemError) {
                try body()
                return 0
            } catch {
                return error.errno
            }
        }
        var status: Int32 = 0
        try systemCall("waitpid") { waitpid(child, &status, 0) }
        switch ProcessEnd(waitStatus: status) {
        case .exited(0): return
        case .exited(let code): throw SystemError(call: call, errno: code)
        case .killed: throw SystemError(call: call, errno: EINTR)
        }
    }
}
