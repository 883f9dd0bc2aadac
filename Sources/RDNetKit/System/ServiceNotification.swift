internal import CLinux
internal import Glibc

/// Notifies a service manager that the program is ready.
///
/// See sd_notify(3).
enum ServiceNotification {
    /// The environment variable that names the service manager's socket.
    static let variable = "NOTIFY_SOCKET"

    /// Sends `READY=1`.
    ///
    /// - Parameter socket: The value of NOTIFY_SOCKET: a path, or `@` and an abstract name.
    /// - Throws: `SystemError`, such as ENOENT when no socket exists there.
    static func ready(to socket: String) throws(SystemError) {
        let address =
            socket.hasPrefix("@")
            ? SocketAddress(abstractName: String(socket.dropFirst())) : SocketAddress(path: socket)
        guard let address else { throw SystemError.tooLong("NOTIFY_SOCKET") }
        let descriptor = try Socket.make(AF_UNIX, SOCK_DGRAM)
        _ = try Socket.connect(descriptor, to: address)
        guard try Socket.send(descriptor, Array("READY=1".utf8)) != nil else {
            throw SystemError(call: "send", errno: EAGAIN)
        }
    }
}
