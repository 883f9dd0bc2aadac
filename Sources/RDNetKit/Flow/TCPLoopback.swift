/// Services of the host that listen on ::1 only (Vite, Node.js 17 and later).
///
/// The host alias stands for the host's loopback. Its 127.0.0.1 is tried first; when nobody listens
/// there, ::1 is.
extension TCPFlows {
    /// Connects to ::1 in place of 127.0.0.1, which refused.
    ///
    /// - Parameters:
    ///   - flow: Its host socket has met an error.
    ///   - code: The error.
    ///   - now: The turn's clock.
    /// - Returns: False when there is nothing else to try.
    func retryOnIPv6(_ flow: TCPFlow, errno code: Int32, now: Instant) -> Bool {
        guard QueuedError.isRefusal(errno: code), !flow.hasTriedIPv6,
            ethernet.plan.destination(of: flow.key.remote.address) == .host(.loopbackIPv4)
        else { return false }
        flow.hasTriedIPv6 = true
        flow.releaseStream()
        do {
            let host = Endpoint(address: .loopbackIPv6, port: flow.key.remote.port)
            try connect(flow, to: host, now: now)
            return true
        } catch {
            // Without IPv6, as after a second refusal, the answer of 127.0.0.1 stands.
            return false
        }
    }
}
