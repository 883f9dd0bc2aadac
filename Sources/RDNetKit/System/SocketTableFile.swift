internal import CLinux
internal import Glibc

/// One of the kernel's tables of sockets, which stays readable after this process has left the
/// network namespace, or entered a sandbox.
///
/// An open file of /proc/net belongs to the namespace in which it was opened. See proc_pid_net(5).
final class SocketTableFile {
    /// Limit on the bytes of a table.
    private static let maximumLength = 1 << 20
    /// The names of the tables; a kernel without IPv6 has no tcp6 and no udp6.
    static let names = ["tcp", "tcp6", "udp", "udp6"]

    let isUDP: Bool
    private let name: String
    private let descriptor: OwnedDescriptor

    /// Creates the object for an open table.
    init(_ name: String, _ descriptor: consuming OwnedDescriptor) {
        self.name = name
        isUDP = name.hasPrefix("udp")
        self.descriptor = descriptor
    }

    /// Opens a table of this thread's network namespace.
    ///
    /// - Throws: `SystemError`: ENOENT if there is none.
    static func open(_ name: String) throws(SystemError) -> OwnedDescriptor {
        let path = "/proc/thread-self/net/\(name)"
        return OwnedDescriptor(
            adopting: try systemCall("open \(path)") { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
        )
    }

    /// The tables of this thread's network namespace, as far as the kernel has them.
    static func openAll(_ names: [String]) throws(SystemError) -> [SocketTableFile] {
        var tables: [SocketTableFile] = []
        for name in names {
            do throws(SystemError) {
                tables.append(SocketTableFile(name, try open(name)))
            } catch {
                guard error.errno == ENOENT else { throw error }
            }
        }
        return tables
    }

    /// The ports on which sockets wait for any client; nil if there are too many sockets.
    func openPorts() throws(SystemError) -> Set<UInt16>? {
        try read().map { SocketTable.openPorts(reading: $0, isUDP: isUDP) }
    }

    /// The inode of a socket that is connecting to an endpoint, or has a connection from a port to
    /// it; nil if there is none, or there are too many sockets.
    func socket(
        connectingTo remote: Endpoint,
        from port: UInt16?
    ) throws(SystemError) -> UInt64? {
        let isIPv6 = name.hasSuffix("6")
        return try read().flatMap {
            SocketTable.connecting(to: remote, from: port, reading: $0, isIPv6: isIPv6)
        }
    }

    private func read() throws(SystemError) -> [UInt8]? {
        let number = descriptor.number
        try systemCall("lseek \(name)") { lseek(number, 0, SEEK_SET) }
        return try TextFile.read(descriptor, named: name, upTo: Self.maximumLength)
    }
}
