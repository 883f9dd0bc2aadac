/// The publisher of a port: one process, an unidentified one, or a connection that holds the port.
struct PortPublisher: Hashable {
    /// Incremented with each new publisher.
    let number: UInt64

    /// All processes that cannot be identified; their claims count as those of an ended process.
    static let unknown = PortPublisher(number: 0)
}

/// The processes whose messages publish ports.
///
/// How it works: an agent that crashed cannot withdraw its ports, and after a restart it does not
/// know about them. So each publisher is a process, identified by a descriptor. A process that
/// still runs ten seconds after its first message is an agent, and has announced its current ports
/// by then. It then replaces the earlier publishers that ran the same program file and have ended:
/// their claims are dropped. A short-lived process, such as nc in a script, replaces nobody, so
/// ports that scripts publish stay.
///
/// Limits: 256 processes at a time, further ones are unknown. An ended process is remembered while
/// it claims a port.
final class PortPublishers {
    /// How long a program runs after its first message before it replaces its predecessors.
    ///
    /// A guest agent announces containers immediately, and finds other listeners with scans that
    /// take two times three seconds.
    static let succession: Duration = .seconds(10)
    static let maximumRunning = 256

    private struct Record {
        let program: String?
        let since: Instant
        /// Nil after the process has ended.
        var process: PeerProcess?

        var hasEnded: Bool { process?.hasEnded ?? true }
    }

    let loop: EventLoop
    private var records: [PortPublisher: Record] = [:]
    /// Running publishers by process ID.
    private var running: [Int32: PortPublisher] = [:]
    private var count: UInt64 = 0

    /// Called with the publishers that another one replaced.
    var replaced: (Set<PortPublisher>) -> Void = { _ in }
    /// Whether a publisher claims a port; an ended publisher without claims is forgotten.
    var isClaimant: (PortPublisher) -> Bool = { _ in false }

    init(loop: EventLoop) {
        self.loop = loop
    }

    /// Returns the publisher of a process, and creates it if it is new.
    func publisher(_ process: PeerProcess?) -> PortPublisher {
        guard let process else { return .unknown }
        if let known = running[process.number], records[known]?.hasEnded == false {
            replacePredecessors(of: known)
            return known
        }
        guard running.count < Self.maximumRunning else { return .unknown }
        let publisher = makePublisher()
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

    /// Returns a new publisher, which is no process.
    func makePublisher() -> PortPublisher {
        count += 1
        return PortPublisher(number: count)
    }

    /// Whether a publisher's process has ended, so that it can no longer withdraw ports.
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
