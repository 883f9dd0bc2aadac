/// A child process that applies leases where that takes files or programs: it writes the resolver
/// file, or runs the DHCP script.
///
/// How it works: the child starts before its parent enters a sandbox, and keeps the privileges that
/// this work takes. The parent sends each change of the lease with the server's message. The child
/// parses the message again, so a compromised parent can do no more than a hostile DHCP server. The
/// work was fixed when the child started: the parent names no file and no program. The child
/// reports each applied change with one byte. At its end, the parent sends one byte, and the child
/// restores the resolver file and exits.
final class LeaseBroker: LeaseRecipient, ReadinessObserver {
    /// What the child does.
    enum Work {
        case resolverFile(ResolverFile.Place)
        case script(path: String, environment: [String])
    }

    /// A packet's first byte.
    private enum Kind: UInt8 {
        case lost
        case bound
        case renewed
        case silence
        case refused
        case end
        case reopenLog
    }

    /// The child's reports, one byte each.
    enum Report: UInt8 {
        /// There is no name to mount the resolver file over.
        case nameIsMissing
        /// A change was applied.
        case applied
    }

    /// A kind and the largest DHCP message, which is longer here than it was as a datagram if it
    /// had options in other fields.
    static let maximumPacket = 66_000
    /// Time limit for restoring the resolver file; network-setup waits for two seconds.
    private static let patience: Duration = .milliseconds(1_500)

    /// Called if programs find no resolver file (`ResolverFile`).
    var nameIsMissing: (() -> Void)?

    private let log: Logger
    private var socket: OwnedDescriptor?
    private let number: Int32
    private var loop: EventLoop?
    private var watch: EventLoop.Watch?
    /// What waits for the changes that the child has not applied yet.
    private var waiting: [() -> Void] = []

    /// Starts the child.
    ///
    /// - Parameters:
    ///   - work: What it does.
    ///   - interface: The interface's name.
    ///   - isRestricted: Whether it gives up the privileges that its work does not need.
    ///   - logFile: The log's path; empty if it is no file.
    ///   - log: For its work, and for its loss.
    /// - Throws: `SystemError`.
    init(
        _ work: Work,
        interface: String,
        isRestricted: Bool,
        logFile: String,
        log: Logger
    ) throws(SystemError) {
        self.log = log
        let pair = try Socket.pair(ofPackets: true)
        let child = pair.other.number
        let settings = LeaseBrokerChild.Settings(
            work: work,
            interface: interface,
            isRestricted: isRestricted,
            logFile: logFile
        )
        _ = try Namespace.fork {
            // The host must see the end of the stream when the parent ends.
            WorkingChild.begin("rdnet-lease", keeping: [child], log)
            return LeaseBrokerChild.run(settings, OwnedDescriptor(adopting: child), log)
        }
        number = pair.one.number
        socket = .some(pair.one)
        log.hasReopened = { [weak self] in
            if self?.watch != nil { self?.send([Kind.reopenLog.rawValue]) }
        }
    }

    /// Starts to watch for the child's reports.
    ///
    /// - Throws: `SystemError`.
    func report(to loop: EventLoop) throws(SystemError) {
        self.loop = loop
        watch = try loop.watch(number, for: .readable, observer: self)
    }

    // MARK: To the child

    func apply(_ change: LeaseChange, done: @escaping () -> Void) {
        guard watch != nil, send(Self.packet(change)) else { return done() }
        waiting.append(done)
    }

    /// Applies name servers, for `LinkConfiguration`.
    var nameServers: LinkConfiguration.NameServers {
        { [self] lease, done in apply(.renewed(lease), done: done) }
    }

    /// Ends the child, and waits until it has restored the resolver file.
    func close() {
        if let watch { loop?.forget(watch) }
        watch = nil
        send([Kind.end.rawValue])
        guard let socket = socket.take() else { return }
        let child = WaitingSocket(socket)
        do throws(SystemError) {
            // Nothing arrives when the child closes its end.
            while try !child.receive(upTo: 1, within: Self.patience).isEmpty {}
        } catch {
            log.error("the lease helper did not exit", ["cause": "\(error)"])
        }
    }

    /// Sends a packet.
    ///
    /// - Returns: Whether the child receives it.
    @discardableResult
    private func send(_ packet: [UInt8]) -> Bool {
        do throws(SystemError) {
            switch socket {
            case .some(let socket):
                if try Socket.send(socket, packet) != nil { return true }
                log.error("the lease helper is busy; a change of the lease is lost")
            case .none: break
            }
        } catch {
            log.error("the lease helper does not answer", ["cause": "\(error)"])
        }
        return false
    }

    // MARK: From the child

    func descriptorReady(_ readiness: Readiness, now: Instant) {
        do throws(SystemError) {
            let octets: [UInt8]?
            switch socket {
            case .some(let socket): octets = try Socket.receive(socket, upTo: 1)
            case .none: return
            }
            guard let octets else { return }
            switch octets.first.flatMap(Report.init) {
            case .nameIsMissing: return nameIsMissing?() ?? ()
            case .applied where !waiting.isEmpty: return waiting.removeFirst()()
            case .applied: return
            case nil: log.error("the lease helper exited; leases change no files anymore")
            }
        } catch {
            log.error("the lease helper does not answer", ["cause": "\(error)"])
        }
        if let watch { loop?.forget(watch) }
        watch = nil
        let left = waiting
        waiting = []
        for done in left { done() }
    }

    // MARK: A packet

    /// The packet that asks the child to apply a change.
    static func packet(_ change: LeaseChange) -> [UInt8] {
        let (kind, message): (Kind, DHCPMessage?) =
            switch change {
            case .lost: (.lost, nil)
            case .bound(let lease): (.bound, lease.message)
            case .renewed(let lease): (.renewed, lease.message)
            case .silence: (.silence, nil)
            case .refused(let message): (.refused, message)
            }
        return [kind.rawValue] + (message?.octets ?? [])
    }

    /// What the parent asks of the child.
    enum Request: Equatable {
        case apply(LeaseChange)
        case reopenLog

        /// Reads a packet; nil at the end, or if the parent does not follow the protocol.
        init?(reading octets: [UInt8]) {
            guard let first = octets.first, let kind = Kind(rawValue: first) else { return nil }
            let change: LeaseChange?
            switch kind {
            case .lost: change = .lost
            case .silence: change = .silence
            case .bound: change = lease(reading: octets).map { .bound($0) }
            case .renewed: change = lease(reading: octets).map { .renewed($0) }
            case .refused: change = message(reading: octets).map { .refused($0) }
            case .reopenLog:
                self = .reopenLog
                return
            case .end: return nil
            }
            guard let change else { return nil }
            self = .apply(change)
        }
    }

    private static func lease(reading octets: [UInt8]) -> DHCPLease? {
        message(reading: octets).flatMap { DHCPLease(acknowledgedBy: $0) }
    }

    private static func message(reading octets: [UInt8]) -> DHCPMessage? {
        do throws(PacketError) {
            return try DHCPMessage(reading: octets.span.bytes.extracting(droppingFirst: 1))
        } catch {
            return nil
        }
    }
}
