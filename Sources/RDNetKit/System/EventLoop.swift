internal import CLinux
internal import Glibc

/// What a descriptor is ready for, as epoll(7) reports it.
struct Readiness: OptionSet, Sendable {
    let rawValue: UInt32

    static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    /// Out-of-band data waits (TCP urgent data).
    static let urgent = Readiness(rawValue: EPOLLPRI.rawValue)
    /// The peer closed its sending side.
    static let ended = Readiness(rawValue: EPOLLRDHUP.rawValue)
    /// An error waits in SO_ERROR or in the error queue.
    static let failed = Readiness(rawValue: EPOLLERR.rawValue)
    /// Both directions are closed.
    static let hungUp = Readiness(rawValue: EPOLLHUP.rawValue)
    /// Report each change once (EPOLLET), instead of in every turn for as long as the state lasts.
    static let onChange = Readiness(rawValue: EPOLLET.rawValue)
}

/// Receives reports that a descriptor is ready.
protocol ReadinessObserver: AnyObject {
    func descriptorReady(_ readiness: Readiness, now: Instant)
}

/// Work that runs once in every turn, after events and timers.
protocol TurnParticipant: AnyObject {
    /// Does a bounded amount of work.
    ///
    /// - Parameter now: The turn's clock.
    /// - Returns: Whether more work remains; the loop then does not sleep.
    func takeTurn(now: Instant) -> Bool
}

/// The only event loop: descriptors, timers and per-turn work on one thread.
///
/// How it works: `epoll_wait` with a timeout from the timer wheel; the clock is read once; every
/// ready descriptor's observer is called; expired timers fire; then the participants take their
/// turn in the order in which they joined (flows before links, so that a turn's packets leave in
/// one write). The loop no longer calls an observer that was removed while a turn's events are
/// delivered: events carry a slot number and its generation, and the slot is checked at delivery.
/// Nothing here allocates in steady state.
///
/// After a turn with events, the loop polls for up to `lingering` before it sleeps: the answer to
/// the data just forwarded often arrives sooner than a sleeping processor wakes up. Each
/// unsuccessful poll doubles the number of sleeps that skip polling, so slow traffic causes almost
/// no extra cost. While it polls, the loop yields the processor to other threads.
final class EventLoop {
    /// Identifies one watched descriptor.
    struct Watch: Equatable {
        fileprivate var slot: UInt32
        fileprivate var generation: UInt32
    }

    private struct Slot {
        var observer: (any ReadinessObserver)?
        var descriptor: Int32 = -1
        var generation: UInt32 = 0
    }

    private static let eventsPerTurn = 256
    /// How long to poll before a sleep: about the time that an idle virtual processor takes to wake
    /// up.
    private static let lingering = Duration.microseconds(50)
    /// Limit on the sleeps that skip polling after unsuccessful polls.
    private static let maximumPatience = 64

    private let poll: OwnedDescriptor
    private let clock: () -> Instant
    private var slots: [Slot] = []
    private var freeSlots: [UInt32] = []
    private var participants: [any TurnParticipant] = []
    private let events: UnsafeMutablePointer<epoll_event>
    private var wheel: TimerWheel
    private var moreWork = false
    /// The coming sleeps that skip polling, and their number after the next unsuccessful poll.
    private var sleepsToPass = 0
    private var patience = 1
    private var hasWorked = false
    private var stopping = false
    /// The clock of the current turn.
    private(set) var now: Instant

    /// Creates a loop.
    ///
    /// - Parameter clock: The source of time; a test passes a clock that it moves by hand.
    /// - Throws: `SystemError` if the kernel does not provide an epoll descriptor.
    init(clock: @escaping () -> Instant = EventLoop.monotonicClock) throws(SystemError) {
        poll = OwnedDescriptor(
            adopting: try systemCall("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
        )
        self.clock = clock
        now = clock()
        wheel = TimerWheel(now: now)
        events = .allocate(capacity: Self.eventsPerTurn)
    }

    deinit {
        events.deallocate()
    }

    /// Reads CLOCK_MONOTONIC.
    ///
    /// See clock_gettime(2).
    static func monotonicClock() -> Instant {
        var time = timespec()
        // Cannot fail: the clock exists and the pointer is valid.
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    // MARK: Descriptors

    /// Starts to watch a descriptor.
    ///
    /// See epoll_ctl(2).
    ///
    /// - Parameters:
    ///   - descriptor: Must stay open until `forget`.
    ///   - readiness: The states to wait for; `failed` and `hungUp` are always included.
    ///   - observer: Retained until `forget`.
    /// - Returns: The watch, for `change` and `forget`.
    /// - Throws: `SystemError`, such as ENOSPC at the system's limit on watches.
    func watch(
        _ descriptor: Int32,
        for readiness: Readiness,
        observer: any ReadinessObserver
    ) throws(SystemError) -> Watch {
        let slot = freeSlots.popLast() ?? UInt32(slots.count)
        if Int(slot) == slots.count { slots.append(Slot()) }
        let watch = Watch(slot: slot, generation: slots[Int(slot)].generation)
        do {
            try control(EPOLL_CTL_ADD, descriptor, watch, readiness)
        } catch {
            freeSlots.append(slot)
            throw error
        }
        slots[Int(slot)].observer = observer
        slots[Int(slot)].descriptor = descriptor
        return watch
    }

    /// Changes the states that a descriptor is watched for.
    func change(_ watch: Watch, to readiness: Readiness) {
        guard slots[Int(watch.slot)].generation == watch.generation else { return }
        do {
            try control(EPOLL_CTL_MOD, slots[Int(watch.slot)].descriptor, watch, readiness)
        } catch {
            preconditionFailure("a watched descriptor was closed before it was forgotten: \(error)")
        }
    }

    /// Stops watching; must be called before the descriptor is closed.
    func forget(_ watch: Watch) {
        let slot = Int(watch.slot)
        guard slots[slot].generation == watch.generation else { return }
        var event = epoll_event()
        // A failure would mean that the descriptor is already closed, and the kernel's watch with
        // it.
        _ = epoll_ctl(poll.number, EPOLL_CTL_DEL, slots[slot].descriptor, &event)
        slots[slot] = Slot(generation: watch.generation &+ 1)
        freeSlots.append(watch.slot)
    }

    private func control(
        _ operation: Int32,
        _ descriptor: Int32,
        _ watch: Watch,
        _ readiness: Readiness
    ) throws(SystemError) {
        var event = epoll_event()
        event.events = readiness.rawValue
        event.data.u64 = UInt64(watch.generation) << 32 | UInt64(watch.slot)
        let poll = poll.number
        try systemCall("epoll_ctl") { epoll_ctl(poll, operation, descriptor, &event) }
    }

    // MARK: Timers and turns

    /// Calls an observer once, at a deadline or up to 1.05 ms later.
    func schedule(_ deadline: Instant, observer: any TimerObserver) -> TimerWheel.Token {
        wheel.insert(deadline, observer: observer)
    }

    /// Calls a closure once after a delay; the token cancels it.
    @discardableResult
    func after(_ delay: Duration, _ action: @escaping (Instant) -> Void) -> TimerWheel.Token {
        schedule(now + delay, observer: TimerAction(action))
    }

    /// Cancels a deadline; does nothing if it has passed.
    func cancel(_ token: TimerWheel.Token) {
        wheel.remove(token)
    }

    /// Adds work to every turn, after the participants that joined earlier.
    func join(_ participant: any TurnParticipant) {
        participants.append(participant)
    }

    /// Removes per-turn work.
    func leave(_ participant: any TurnParticipant) {
        participants.removeAll { $0 === participant }
    }

    /// Runs turns until `stop`.
    ///
    /// - Throws: `SystemError` if waiting itself fails.
    func run() throws(SystemError) {
        stopping = false
        while !stopping { try turn() }
    }

    /// Ends `run` after the current turn.
    func stop() {
        stopping = true
    }

    /// Runs one turn: waits for events, delivers them, fires timers, and gives every participant a
    /// turn.
    ///
    /// - Parameter limit: The maximum wait; nil waits until an event or a timer.
    /// - Throws: `SystemError` if waiting itself fails.
    func turn(waitingAtMost limit: Duration? = nil) throws(SystemError) {
        let timeout = waitMilliseconds(limit)
        var count = timeout == 0 ? 0 : linger()
        if count == 0 { count = try wait(timeout) }
        now = clock()
        hasWorked = count > 0
        for index in 0..<count { deliver(events[index]) }
        while let observer = wheel.popExpired(now: now) { observer.timerFired(now: now) }
        moreWork = false
        for participant in participants where participant.takeTurn(now: now) { moreWork = true }
    }

    private func wait(_ milliseconds: Int32) throws(SystemError) -> Int {
        let (poll, events) = (poll.number, events)
        return Int(
            try systemCall("epoll_wait") {
                epoll_wait(poll, events, Int32(Self.eventsPerTurn), milliseconds)
            }
        )
    }

    /// Polls for events for a moment before the loop sleeps.
    ///
    /// - Returns: The number of events; 0 if none arrived or polling is not worthwhile.
    private func linger() -> Int {
        guard hasWorked else { return 0 }
        guard sleepsToPass == 0 else {
            sleepsToPass -= 1
            return 0
        }
        let end = clock() + Self.lingering
        // The count is limited too: a test's clock stands still.
        for _ in 0..<1_000 {
            // The wait that follows meets an error again and throws it.
            let count = epoll_wait(poll.number, events, Int32(Self.eventsPerTurn), 0)
            if count > 0 {
                patience = 1
                return Int(count)
            }
            if clock() >= end { break }
            sched_yield()
        }
        sleepsToPass = patience
        patience = min(patience * 2, Self.maximumPatience)
        return 0
    }

    private func deliver(_ event: epoll_event) {
        let slot = slots[Int(truncatingIfNeeded: event.data.u64 & 0xffff_ffff)]
        guard slot.generation == UInt32(truncatingIfNeeded: event.data.u64 >> 32) else { return }
        slot.observer?.descriptorReady(Readiness(rawValue: event.events), now: now)
    }

    private func waitMilliseconds(_ limit: Duration?) -> Int32 {
        if moreWork || stopping { return 0 }
        var wait = limit.map { $0.millisecondsRoundedUp }
        if let deadline = wheel.nextDeadline {
            // Uses the current time: participants may have worked since the turn's reading.
            let remaining = max((deadline - clock()).millisecondsRoundedUp, 0)
            wait = min(wait ?? remaining, remaining)
        }
        return wait.map { Int32(min($0, 3_600_000)) } ?? -1
    }
}

/// Calls a closure when a timer fires.
private final class TimerAction: TimerObserver {
    private let action: (Instant) -> Void

    init(_ action: @escaping (Instant) -> Void) {
        self.action = action
    }

    func timerFired(now: Instant) {
        action(now)
    }
}
