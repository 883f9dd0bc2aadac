extension ServiceNotification {
    /// Connects to a waiting service manager; a failure is logged as a warning.
    ///
    /// - Parameters:
    ///   - socket: The value of NOTIFY_SOCKET; nil or empty if no service manager waits.
    ///   - log: For the warning.
    /// - Returns: Nil if no service manager waits.
    static func connect(to socket: String?, log: Logger) -> ServiceNotification? {
        guard let socket, !socket.isEmpty else { return nil }
        do throws(SystemError) {
            return try ServiceNotification(to: socket)
        } catch {
            log.warning("cannot notify the service manager", ["cause": "\(error)"])
            return nil
        }
    }

    /// Notifies the service manager that the program is ready; a failure is logged as a warning.
    func announce(log: Logger) {
        do throws(SystemError) {
            try ready()
        } catch {
            log.warning("cannot notify the service manager", ["cause": "\(error)"])
        }
    }
}
