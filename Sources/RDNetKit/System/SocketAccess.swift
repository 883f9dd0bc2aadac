/// Who may connect to a unix socket.
struct SocketAccess: Equatable, Sendable {
    /// The permission bits of the socket's file.
    var mode = 0o600
    /// The group of the file; nil for this process's own.
    var group: UInt32?
}
