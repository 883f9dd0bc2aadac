internal import CLinux
internal import Glibc

/// Tells the service manager that the program is ready.
///
/// The connection is opened before the program enters its sandbox, and used when everything has
/// succeeded. See sd_notify(3).
final class ServiceNotification {
    /// The environment variable that names the service manager's socket.
    static let variable = "NOTIFY_SOCKET"

    private let descriptor: OwnedDescriptor

    /// Connects to the service manager.
    ///
    /// - Parameter socket: The value of NOTIFY_SOCKET: a path, or `@` and an abstract name.
    /// - Throws: `SystemError`, such as ENOENT when no socket exists there.
    init(to socket: String) throws(SystemError) {
        let address =
            socket.hasPrefix("@")
            ? SocketAddress(abstractName: String(socket.dropFirst())) : SocketAddress(path: socket)
        guard let address else { throw SystemError.tooLong("NOTIFY_SOCKET") }
        descriptor = try Socket.make(AF_UNIX, SOCK_DGRAM)
        _ = try Socket.connect(descriptor, to: address)
    }

    /// Sends `READY=1`.
    ///
    /// - Throws: `SystemError`.
    func ready() throws(SystemError) {
        guard try Socket.send(descriptor, Array("READY=1".utf8)) != nil else {
            throw SystemError(call: "send", errno: EAGAIN)
        }
    }
}
