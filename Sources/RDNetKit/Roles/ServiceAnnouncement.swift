extension ServiceNotification {
    /// Notifies a waiting service manager that the program is ready; a failure is logged as a
    /// warning.
    ///
    /// - Parameters:
    ///   - socket: The value of NOTIFY_SOCKET; nil or empty if no service manager waits.
    ///   - log: For the warning.
    static func announce(to socket: String?, log: Logger) {
        guard let socket, !socket.isEmpty else { return }
        do throws(SystemError) {
            try ready(to: socket)
        } catch {
            log.warning("cannot notify the service manager", ["cause": "\(error)"])
        }
    }
}
