/// What the clients of one forward have met.
final class ForwardUsage {
    /// When the forward was opened.
    let opened: Instant
    /// TCP connections that were accepted, or UDP clients.
    private(set) var clients: UInt64 = 0
    /// Those of them that the guest did not accept.
    private(set) var failures: UInt64 = 0
    /// The guest's latest answer, and when it came; nil before the first.
    private(set) var last: (answer: GuestAnswer, time: Instant)?
    private let now: () -> Instant
    /// Called for each client that the guest did not accept; nil for a client on a unix socket.
    private let failed: (GuestAnswer, Endpoint?) -> Void

    /// Creates the usage of a new forward.
    ///
    /// - Parameters:
    ///   - now: The loop's clock.
    ///   - failed: Called for each client that the guest did not accept.
    init(now: @escaping () -> Instant, failed: @escaping (GuestAnswer, Endpoint?) -> Void) {
        opened = now()
        self.now = now
        self.failed = failed
    }

    /// Counts a client.
    func accepted() {
        clients &+= 1
    }

    /// Records a guest's answer.
    func answered(_ answer: GuestAnswer, to client: Endpoint?) {
        last = (answer, now())
        guard answer != .connected else { return }
        failures &+= 1
        failed(answer, client)
    }
}
