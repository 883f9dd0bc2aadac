extension ServiceNotification {
    /// Notifies a service manager that waits for the program; a failure is a warning.
    ///
    /// - Parameters:
    ///   - socket: The value of NOTIFY_SOCKET; nil or empty when no service manager waits.
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
