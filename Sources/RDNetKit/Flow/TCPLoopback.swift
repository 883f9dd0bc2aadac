/// Services of the host that listen on one of its loopback addresses only, such as ::1 (Vite,
/// Node.js 17 and later).
///
/// A host alias stands for the host's loopback: that of its own family is tried first, and when
/// nobody listens there, the other.
extension TCPFlows {
    /// Connects to the other loopback address in place of the one that refused.
    ///
    /// - Parameters:
    ///   - flow: Its host socket has met an error.
    ///   - code: The error.
    ///   - now: The turn's clock.
    /// - Returns: False when there is nothing else to try.
    func retryOnOtherLoopback(_ flow: TCPFlow, errno code: Int32, now: Instant) -> Bool {
        guard QueuedError.isRefusal(errno: code), !flow.hasTriedOtherLoopback,
            let other = flow.dialed.flatMap(Self.otherLoopback)
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

    private static func otherLoopback(_ address: IPAddress) -> IPAddress? {
        switch address {
        case .loopbackIPv4: .loopbackIPv6
        case .loopbackIPv6: .loopbackIPv4
        default: nil
        }
    }
}
