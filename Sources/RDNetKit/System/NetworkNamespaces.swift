internal import CLinux
internal import Glibc

/// Network namespaces held open by a descriptor.
///
/// Each lives as long as a process, a descriptor or a mount holds it. See network_namespaces(7).
extension Namespace {
    /// Opens the network namespace of this process.
    ///
    /// - Returns: A descriptor that holds it.
    /// - Throws: `SystemError` if /proc is not mounted.
    static func currentNetwork() throws(SystemError) -> OwnedDescriptor {
        try openNamespace("/proc/thread-self/ns/net")
    }

    /// Identifies the network namespace of this process, for comparison by another one; nil if
    /// /proc is not mounted.
    static var currentNetworkIdentity: String? {
        do {
            return FileIdentity(of: try currentNetwork()).text
        } catch {
            return nil
        }
    }

    /// Opens the network namespace of another process.
    ///
    /// - Parameter process: The process ID.
    /// - Returns: A descriptor that holds it.
    /// - Throws: `SystemError` with ENOENT if the process does not exist.
    static func network(of process: Int32) throws(SystemError) -> OwnedDescriptor {
        try openNamespace("/proc/\(process)/ns/net")
    }

    /// Whether this process shares a namespace with another process.
    ///
    /// See namespaces(7), stat(2).
    ///
    /// - Parameters:
    ///   - kind: `net` or `mnt`.
    ///   - process: The other process's ID.
    /// - Returns: Nil if the process does not exist, or this process may not look.
    static func isShared(_ kind: String, with process: Int32) -> Bool? {
        guard let mine = FileIdentity(at: "/proc/thread-self/ns/\(kind)"),
            let theirs = FileIdentity(at: "/proc/\(process)/ns/\(kind)")
        else { return nil }
        return mine == theirs
    }

    private static func openNamespace(_ path: String) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(path, O_RDONLY | O_CLOEXEC) }
        )
    }

    /// Creates a network namespace; this process stays in its own.
    ///
    /// See unshare(2).
    ///
    /// - Returns: A descriptor that holds it.
    /// - Throws: `SystemError` with EPERM without CAP_SYS_ADMIN.
    static func makeNetwork() throws(SystemError) -> OwnedDescriptor {
        let home = try currentNetwork()
        try systemCall("unshare(CLONE_NEWNET)") { unshare(Int32(CLINUX_CLONE_NEWNET)) }
        defer { enter(home) }
        return try currentNetwork()
    }

    /// Moves this process into namespaces for good.
    ///
    /// In a user namespace, the process gets every capability there. See setns(2).
    ///
    /// - Parameters:
    ///   - user: The path of a user namespace; nil, or the process's own, for no change.
    ///   - network: The path of a network namespace.
    /// - Throws: `SystemError`: ENOENT, EPERM.
    static func join(user: String?, network: String) throws(SystemError) {
        // Both are opened first: the paths may mean something else in the user namespace.
        let there = try openNamespace(network)
        if let user, FileIdentity(at: user) != FileIdentity(at: "/proc/thread-self/ns/user") {
            let users = try openNamespace(user)
            try systemCall("setns \(user)") { setns(users.number, Int32(CLINUX_CLONE_NEWUSER)) }
        }
        try systemCall("setns \(network)") { setns(there.number, Int32(CLINUX_CLONE_NEWNET)) }
    }

    /// Runs a closure while this process is in another network namespace.
    ///
    /// Sockets and processes created there belong to that namespace. Sound because this process has
    /// one thread. See setns(2).
    ///
    /// - Parameters:
    ///   - network: The namespace.
    ///   - body: The closure.
    /// - Returns: The closure's result.
    /// - Throws: The closure's error, or `SystemError` if the namespace cannot be entered.
    static func within<Result: ~Copyable>(
        _ network: borrowing OwnedDescriptor,
        _ body: () throws(SystemError) -> Result
    ) throws(SystemError) -> Result {
        let home = try currentNetwork()
        let there = network.number
        try systemCall("setns") { setns(there, Int32(CLINUX_CLONE_NEWNET)) }
        defer { enter(home) }
        return try body()
    }

    /// Returns to the process's original namespace, which cannot fail for lack of resources.
    private static func enter(_ home: borrowing OwnedDescriptor) {
        guard setns(home.number, Int32(CLINUX_CLONE_NEWNET)) == 0 else {
            preconditionFailure("a namespace that was left cannot be entered: errno \(errno)")
        }
    }
}
