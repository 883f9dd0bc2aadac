/// Where the roles serve the control file system.
extension PortFileServer {
    /// Listens at addresses of this machine, whose clients do not say which guest they are.
    ///
    /// - Parameters:
    ///   - addresses: Where.
    ///   - option: The option that named them, for errors.
    ///   - counters: Counts connections.
    /// - Returns: The listeners; the caller closes them.
    /// - Throws: `RoleFailure` with the address that could not be opened.
    func listen(
        at addresses: [ListenAddress],
        option: String,
        counters: ListenerCounters = ListenerCounters()
    ) throws(RoleFailure) -> [StreamListener] {
        var listeners: [StreamListener] = []
        for address in addresses {
            do {
                let listener = try LinkOpener.listen(
                    at: address.link,
                    loop: loop,
                    log: log,
                    limits: limits,
                    counters: counters
                ) { [unowned self] stream, _ in accept(stream, from: nil) }
                listeners.append(listener)
            } catch {
                for listener in listeners { listener.close() }
                throw RoleFailure("\(option) \(address): \(error)")
            }
        }
        return listeners
    }
}
