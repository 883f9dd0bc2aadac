/// The host end's progress toward a stream, and back to searching when the stream ends.
///
/// How it works: once a second every VM is probed until one sends the phrase. The host end then
/// waits for that VM's stream and sends it READY, after which the VM has ten seconds to connect. A
/// VM that does not connect was a phantom, such as a port that still answers for a system that is
/// shutting down; the search then restarts, at most five times in a row. When an established stream
/// ends, the search restarts too, with five new attempts. Rounds are at least a second apart, and a
/// VM whose attempt just failed is skipped in the next round, so it cannot hide another.
struct HostHandshakeState {
    enum Phase: Equatable {
        /// Not started, or stopped.
        case idle
        /// Probing VMs for the phrase.
        case searching(since: Instant)
        /// A VM sent the phrase; READY is on its way to it.
        case announcing(VirtualMachine)
        /// READY was sent; the VM must connect before the deadline.
        case awaiting(VirtualMachine, until: Instant)
        case serving(VirtualMachine, since: Instant)
    }

    /// Interval between rounds of probes.
    static let interval: Duration = .seconds(1)
    /// Time from READY to the stream.
    static let validity: Duration = .seconds(10)
    /// Limit on consecutive failed handshakes.
    static let attempts = 5
    /// A stream that ends sooner counts as a failed handshake.
    static let settled: Duration = .seconds(5)

    private(set) var phase = Phase.idle
    /// Nil to search without a limit.
    private let searchLimit: Duration?
    private var failures = 0
    private var nextRound = Instant(nanoseconds: 0)
    private var leftOut: VirtualMachine?

    /// Creates a state that has not started.
    ///
    /// - Parameter searchLimit: How long to search without any answer; nil for no limit.
    init(searchLimit: Duration?) {
        self.searchLimit = searchLimit
    }

    /// The time of the next `deadlinePassed` event.
    var nextDeadline: Instant? {
        switch phase {
        case .searching(let since): min(nextRound, end(ofSearchSince: since) ?? nextRound)
        case .awaiting(_, let end): end
        case .idle, .announcing, .serving: nil
        }
    }

    private func end(ofSearchSince start: Instant) -> Instant? { searchLimit.map { start + $0 } }

    /// Handles an event.
    ///
    /// - Parameters:
    ///   - event: What happened.
    ///   - now: When.
    /// - Returns: Actions, in order.
    mutating func next(_ event: HostHandshakeEvent, now: Instant) -> [HostHandshakeAction] {
        switch (phase, event) {
        case (.idle, .started):
            failures = 0
            phase = .searching(since: now)
            return []
        case (.serving(let machine, let since), .streamEnded):
            failures = 0
            leftOut = now - since < Self.settled ? machine : nil
            phase = .searching(since: now)
            return []
        case (.searching(let since), .deadlinePassed):
            return search(since: since, now: now)
        case (.searching, .found(let machine)):
            phase = .announcing(machine)
            return [.endRound, .announce(machine)]
        case (.announcing(let machine), .announced):
            phase = .awaiting(machine, until: now + Self.validity)
            return []
        case (.announcing(let machine), .announcementFailed(let cause)):
            return startOver(without: machine, cause, now: now)
        case (.awaiting(let machine, let end), .deadlinePassed) where now >= end:
            let cause = "\(machine): no stream within \(Self.validity.components.seconds) s"
            return startOver(without: machine, cause, now: now)
        case (.awaiting(let machine, _), .streamCame):
            phase = .serving(machine, since: now)
            return [.closeDataPort, .serve]
        case (_, .streamCame):
            // READY was never sent, so this is not the VM's new system.
            return [.refuseStream]
        case (_, .stopped):
            phase = .idle
            return [.endRound, .closeDataPort]
        case (_, .started), (_, .deadlinePassed), (_, .found), (_, .announced),
            (_, .announcementFailed), (_, .streamEnded):
            // A late event from an earlier attempt.
            return []
        }
    }

    private mutating func search(since start: Instant, now: Instant) -> [HostHandshakeAction] {
        if let end = end(ofSearchSince: start), now >= end, let searchLimit {
            phase = .idle
            return [.endRound, .giveUp(.nobody(within: searchLimit))]
        }
        guard now >= nextRound else { return [] }
        nextRound = now + Self.interval
        defer { leftOut = nil }
        return [.ask(except: leftOut)]
    }

    private mutating func startOver(
        without machine: VirtualMachine,
        _ cause: String,
        now: Instant
    ) -> [HostHandshakeAction] {
        failures += 1
        leftOut = machine
        guard failures < Self.attempts else {
            phase = .idle
            return [.closeDataPort, .giveUp(.phantoms(failures, last: cause))]
        }
        phase = .searching(since: now)
        return [.closeDataPort, .report(cause)]
    }
}

/// An event for the host end.
enum HostHandshakeEvent: Equatable {
    case started
    case deadlinePassed
    /// A VM sent the phrase.
    case found(VirtualMachine)
    /// READY was sent.
    case announced
    case announcementFailed(String)
    case streamCame
    case streamEnded
    case stopped
}

/// An action of the host end.
enum HostHandshakeAction: Equatable {
    /// Probe every VM, except the skipped one if there are others.
    case ask(except: VirtualMachine?)
    /// Cancel all unanswered probes.
    case endRound
    /// Listen for the VM's stream and send READY.
    case announce(VirtualMachine)
    /// Close the established stream.
    case refuseStream
    /// Stop listening for a stream; an established one stays open.
    case closeDataPort
    case serve
    /// A handshake failed and the next one starts.
    case report(String)
    case giveUp(HandshakeFailure)
}

/// Why the host end gives up.
enum HandshakeFailure: Error, Equatable, CustomStringConvertible {
    case nobody(within: Duration)
    /// This many consecutive handshakes produced no stream.
    case phantoms(Int, last: String)

    var description: String {
        switch self {
        case .nobody(let limit):
            "no VM answered the handshake within \(limit.components.seconds) s"
        case .phantoms(let count, let cause):
            "\(count) consecutive handshakes produced no stream; the last: \(cause)"
        }
    }
}
