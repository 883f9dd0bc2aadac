extension ServiceNotification {
    /// Says `READY=1` to a service manager, if one waits for it; one that cannot be told is a
    /// warning.
    ///
    /// - Parameters:
    ///   - socket: The value of NOTIFY_SOCKET; nil or empty where nobody waits.
    ///   - log: For the warning.
    static func announce(to socket: String?, log: Logger) {
        guard let socket, !socket.isEmpty else { return }
        do throws(SystemError) {
            try ready(to: socket)
        } catch {
            log.warning("the service manager is not told", ["cause": "\(error)"])
        }
    }
}
