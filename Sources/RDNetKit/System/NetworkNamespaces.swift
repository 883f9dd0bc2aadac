internal import CLinux
internal import Glibc

/// Network namespaces that are held open by a descriptor.
///
/// Each lives as long as a process, a descriptor or a mount holds it. See network_namespaces(7).
extension Namespace {
    /// The one that this process is in.
    ///
    /// - Returns: A descriptor that holds it.
    /// - Throws: `SystemError` when /proc is not mounted.
    static func currentNetwork() throws(SystemError) -> OwnedDescriptor {
        try openNetwork("/proc/thread-self/ns/net")
    }

    /// The one that another process is in.
    ///
    /// - Parameter process: Its number.
    /// - Returns: A descriptor that holds it.
    /// - Throws: `SystemError` with ENOENT when there is no such process.
    static func network(of process: Int32) throws(SystemError) -> OwnedDescriptor {
        try openNetwork("/proc/\(process)/ns/net")
    }

    /// Whether this process shares a namespace with another one.
    ///
    /// See namespaces(7), stat(2).
    ///
    /// - Parameters:
    ///   - kind: `net` or `mnt`.
    ///   - process: The other process.
    /// - Returns: Nil if there is no such process, or this process may not look.
    static func isShared(_ kind: String, with process: Int32) -> Bool? {
        guard let mine = FileIdentity(at: "/proc/thread-self/ns/\(kind)"),
            let theirs = FileIdentity(at: "/proc/\(process)/ns/\(kind)")
        else { return nil }
        return mine == theirs
    }

    private static func openNetwork(_ path: String) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("open \(path)") { open(path, O_RDONLY | O_CLOEXEC) }
        )
    }

    /// Makes a new one, and stays outside.
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

    /// Does something while this process is in another network namespace.
    ///
    /// Sockets and processes made there belong there. Sound because this process has one thread.
    /// See setns(2).
    ///
    /// - Parameters:
    ///   - network: Where.
    ///   - body: What.
    /// - Returns: What the body returns.
    /// - Throws: What the body throws, and `SystemError` when the namespace cannot be entered.
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

    /// Goes back to where this process came from, which cannot fail for want of anything.
    private static func enter(_ home: borrowing OwnedDescriptor) {
        guard setns(home.number, Int32(CLINUX_CLONE_NEWNET)) == 0 else {
            preconditionFailure("a namespace that was left cannot be entered: errno \(errno)")
        }
    }
}
