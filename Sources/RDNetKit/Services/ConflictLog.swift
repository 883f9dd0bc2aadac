/// Warns of address conflicts, at most once a minute for each kind of address.
final class ConflictLog {
    static let interval: Duration = .seconds(60)

    private enum Kind: Int {
        case mac
        case ip
        case foreign
    }

    private struct State {
        var warned: Instant?
        /// Frames since the last warning.
        var frames: UInt64 = 0
    }

    private let log: Logger
    private let clock: () -> Instant
    private var states: [Kind: State] = [:]

    /// Creates a log without conflicts.
    ///
    /// - Parameters:
    ///   - log: Receives the warnings.
    ///   - clock: A monotonic clock.
    init(_ log: Logger, clock: @escaping () -> Instant) {
        self.log = log
        self.clock = clock
    }

    /// Counts a frame that was dropped for its address.
    func add(_ conflict: AddressConflict) {
        let kind: Kind =
            switch conflict.address {
            case .mac: .mac
            case .ip: .ip
            case .foreign: .foreign
            }
        var state = states[kind] ?? State()
        state.frames &+= 1
        let now = clock()
        if state.warned.map({ now - $0 >= Self.interval }) ?? true {
            warn(of: conflict, frames: state.frames)
            state = State(warned: now)
        }
        states[kind] = state
    }

    private func warn(of conflict: AddressConflict, frames: UInt64) {
        let (link, frames) = ("\(conflict.link)", "\(frames)")
        let owner = conflict.owner.map { "\($0)" } ?? ""
        switch conflict.address {
        case .mac(let mac):
            log.warning(
                "two links have one MAC address; give each guest its own",
                ["mac": "\(mac)", "link": link, "owner": owner, "frames": frames]
            )
        case .ip(let address):
            log.warning(
                "guest uses another guest's address; let DHCP assign addresses",
                ["address": "\(address)", "link": link, "owner": owner, "frames": frames]
            )
        case .foreign(let address):
            log.warning(
                "guest uses an address outside the subnet; let DHCP assign addresses",
                ["address": "\(address)", "link": link, "frames": frames]
            )
        }
    }
}
