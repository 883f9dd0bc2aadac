/// Where the host's end is on its way to a stream, and back there when the stream has ended.
///
/// How it works: every second all machines are asked who they are, until one says the phrase. Its stream is waited for and it is told
/// READY; from then it has ten seconds. A machine that does not come was a phantom, such as a port that still answers for a system that is
/// being shut down: then it begins anew, five times at most. A stream that came may end whenever it likes: then it begins anew as well, with
/// five attempts again. Rounds are never closer than a second, whatever happens between them, and a machine that has just come to nothing is left
/// out of the next one, so that it cannot keep another from being found.
struct HostHandshakeState {
    enum Phase: Equatable {
        /// Not started, or stopped.
        case idle
        /// Machines are asked who they are.
        case searching(since: Instant)
        /// A machine said the phrase and is being told READY.
        case announcing(VirtualMachine)
        /// It was told, and has until then to come.
        case awaiting(VirtualMachine, until: Instant)
        case serving(VirtualMachine, since: Instant)
    }

    /// From one round of questions to the next.
    static let interval: Duration = .seconds(1)
    /// From READY to the stream.
    static let validity: Duration = .seconds(10)
    /// Handshakes in a row that may come to nothing.
    static let attempts = 5
    /// A stream that ends sooner came to nothing.
    static let settled: Duration = .seconds(5)

    private(set) var phase = Phase.idle
    /// Nil to search for as long as it takes.
    private let searchLimit: Duration?
    private var failures = 0
    private var nextRound = Instant(nanoseconds: 0)
    private var leftOut: VirtualMachine?

    /// Makes an end that has not begun.
    ///
    /// - Parameter searchLimit: How long nobody may answer; nil for ever.
    init(searchLimit: Duration?) {
        self.searchLimit = searchLimit
    }

    /// When `deadlinePassed` is due.
    var nextDeadline: Instant? {
        switch phase {
        case .searching(let since): min(nextRound, end(ofSearchSince: since) ?? nextRound)
        case .awaiting(_, let end): end
        case .idle, .announcing, .serving: nil
        }
    }

    private func end(ofSearchSince start: Instant) -> Instant? { searchLimit.map { start + $0 } }

    /// Takes an event.
    ///
    /// - Parameters:
    ///   - event: What happened.
    ///   - now: When.
    /// - Returns: What to do, in this order.
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
            // Nobody was told READY: not the machine's new system.
            return [.refuseStream]
        case (_, .stopped):
            phase = .idle
            return [.endRound, .closeDataPort]
        case (_, .started), (_, .deadlinePassed), (_, .found), (_, .announced),
            (_, .announcementFailed), (_, .streamEnded):
            // Late news of something that is over.
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

/// What happens to the host's end.
enum HostHandshakeEvent: Equatable {
    case started
    case deadlinePassed
    /// A machine said the phrase.
    case found(VirtualMachine)
    /// READY has left.
    case announced
    case announcementFailed(String)
    case streamCame
    case streamEnded
    case stopped
}

/// What the host's end wants done.
enum HostHandshakeAction: Equatable {
    /// Asks every machine who it is, but one if there are others.
    case ask(except: VirtualMachine?)
    /// Ends all questions that are not answered.
    case endRound
    /// Waits for the machine's stream, and tells it READY.
    case announce(VirtualMachine)
    /// Closes the stream that came.
    case refuseStream
    /// Ends waiting for a stream; one that has come lives on.
    case closeDataPort
    case serve
    /// A handshake came to nothing, and the next begins.
    case report(String)
    case giveUp(HandshakeFailure)
}

/// Why the host's end goes on no longer.
enum HandshakeFailure: Error, Equatable, CustomStringConvertible {
    case nobody(within: Duration)
    /// So many handshakes in a row led to no stream.
    case phantoms(Int, last: String)

    var description: String {
        switch self {
        case .nobody(let limit):
            "no virtual machine has answered the handshake within \(limit.components.seconds) s"
        case .phantoms(let count, let cause):
            "\(count) handshakes in a row led to no stream; the last: \(cause)"
        }
    }
}
