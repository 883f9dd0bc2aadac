/// Who publishes a port: one process, or nobody in particular.
struct PortPublisher: Hashable {
    /// Grows with each process that publishes something.
    let number: UInt64

    /// Processes that cannot be identified, whose claims count as those of a process that has
    /// ended.
    static let unknown = PortPublisher(number: 0)
}

/// The processes whose messages publish ports.
///
/// How it works: an agent that crashed cannot withdraw its ports, and it knows nothing of them when
/// it runs again. So each publisher is a process that a descriptor holds. A process that still runs
/// ten seconds after its first message is an agent, and has announced what is published now. Then
/// it replaces those that came before it, ran the same program's file, and have ended: their claims
/// are dropped. A process that ends soon, such as nc in a script, replaces nobody, so that ports
/// stay that scripts publish. Limits: 256 processes at a time, and further ones are unknown; an
/// ended process is remembered while a port is claimed by it.
final class PortPublishers {
    /// How long a program runs after its first message until it replaces its predecessors: a guest
    /// agent announces containers at once, and finds other listeners with scans that take two times
    /// three seconds.
    static let succession: Duration = .seconds(10)
    static let maximumRunning = 256

    private struct Record {
        let program: String?
        let since: Instant
        /// Nil once it has ended.
        var process: PeerProcess?

        var hasEnded: Bool { process?.hasEnded ?? true }
    }

    private let loop: EventLoop
    private var records: [PortPublisher: Record] = [:]
    /// Those that run, by process number.
    private var running: [Int32: PortPublisher] = [:]
    private var count: UInt64 = 0

    /// Called with the publishers that another has replaced.
    var replaced: (Set<PortPublisher>) -> Void = { _ in }
    /// Whether a publisher claims a port; one that has ended and does not is forgotten.
    var isClaimant: (PortPublisher) -> Bool = { _ in false }

    init(loop: EventLoop) {
        self.loop = loop
    }

    /// The publisher that a process is.
    func publisher(_ process: PeerProcess?) -> PortPublisher {
        guard let process else { return .unknown }
        if let known = running[process.number], records[known]?.hasEnded == false {
            replacePredecessors(of: known)
            return known
        }
        guard running.count < Self.maximumRunning else { return .unknown }
        count += 1
        let publisher = PortPublisher(number: count)
        do throws(SystemError) {
            try process.watchEnd(on: loop) { [unowned self, unowned process] in
                processEnded(process.number, publisher)
            }
        } catch {
            return .unknown
        }
        records[publisher] = Record(program: process.program, since: loop.now, process: process)
        running[process.number] = publisher
        loop.after(Self.succession) { [weak self] _ in self?.replacePredecessors(of: publisher) }
        return publisher
    }

    /// Whether a publisher can withdraw nothing any more.
    func hasEnded(_ publisher: PortPublisher) -> Bool {
        records[publisher]?.hasEnded ?? true
    }

    private func processEnded(_ number: Int32, _ publisher: PortPublisher) {
        if running[number] == publisher { running[number] = nil }
        records[publisher]?.process = nil
        if !isClaimant(publisher) { records[publisher] = nil }
    }

    private func replacePredecessors(of publisher: PortPublisher) {
        guard let record = records[publisher], let program = record.program, !record.hasEnded,
            loop.now >= record.since + Self.succession
        else { return }
        let predecessors = records.filter { other, predecessor in
            other.number < publisher.number && predecessor.program == program
                && predecessor.hasEnded
        }
        guard !predecessors.isEmpty else { return }
        for predecessor in predecessors.keys { records[predecessor]?.process = nil }
        replaced(Set(predecessors.keys))
        for predecessor in predecessors.keys { records[predecessor] = nil }
    }
}
