/// Those who watch the events of a network at the moment.
///
/// How it works: `tell` builds an event only if somebody watches events of its kind. Nothing is
/// counted, built or woken for events that nobody watches.
final class EventFeed {
    /// Limit on the watchers that the API lets in.
    static let maximumWatchers = 16

    private var observers: [any EventObserver] = []
    /// The kinds that some observer watches.
    private(set) var kinds: [EventKind] = []
    /// Called when `kinds` has changed.
    var changed: () -> Void = {}

    /// Whether another watcher may join.
    var hasRoom: Bool { observers.count < Self.maximumWatchers }

    /// Whether somebody watches events of a kind.
    func isWatched(_ kind: EventKind) -> Bool { kinds.contains(kind) }

    /// Passes an event to those who watch its kind.
    func tell(_ event: @autoclosure () -> NetworkEvent, _ kind: EventKind) {
        guard isWatched(kind) else { return }
        let event = event()
        for observer in observers where observer.kinds.contains(kind) { observer.tell(event) }
    }

    /// Adds an observer.
    func join(_ observer: any EventObserver) {
        observers.append(observer)
        update()
    }

    /// Removes an observer.
    func leave(_ observer: any EventObserver) {
        observers.removeAll { $0 === observer }
        update()
    }

    /// Ends the connections of all watchers.
    func close() {
        for observer in observers { observer.close() }
        observers = []
        update()
    }

    private func update() {
        let watched = EventKind.allCases.filter { kind in
            observers.contains { $0.kinds.contains(kind) }
        }
        guard watched != kinds else { return }
        kinds = watched
        changed()
    }
}

/// Receives the events of a network.
protocol EventObserver: AnyObject {
    /// The kinds of events that it receives.
    var kinds: [EventKind] { get }
    /// Receives one event; it must not wait.
    func tell(_ event: NetworkEvent)
    /// Passes on what it has, and ends.
    func close()
}
