/// Services of the host that listen on one of its loopback addresses only, such as ::1 (Vite,
/// Node.js 17 and later).
///
/// A host alias stands for the host's loopback: that of its own family is tried first, and when
/// nobody listens there, the other. `OtherLoopbackSocket` does the same for datagrams.
extension TCPFlows {
    /// Connects to the other loopback address in place of the one that refused.
    ///
    /// - Parameters:
    ///   - flow: Its host socket has met an error.
    ///   - code: The error.
    ///   - now: The turn's clock.
    /// - Returns: False when there is nothing else to try.
    func retryOnOtherLoopback(_ flow: TCPFlow, errno code: Int32, now: Instant) -> Bool {
        // A host without IPv6 has no ::1.
        let hasFailed =
            QueuedError.isRefusal(errno: code) || QueuedError.unreachable(errno: code) != nil
        guard hasFailed, !flow.hasTriedOtherLoopback,
            let other = flow.dialed?.otherLoopback
        else { return false }
        flow.hasTriedOtherLoopback = true
        flow.releaseStream()
        do {
            try connect(flow, to: Endpoint(address: other, port: flow.key.remote.port), now: now)
            return true
        } catch {
            // Without the other family, as after a second refusal, the first answer stands.
            return false
        }
    }
}
