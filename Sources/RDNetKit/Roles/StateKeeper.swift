/// Keeps a network's leases and forwards across restarts.
///
/// How it works: at the start, `readLeases` reads the file of an earlier run, and `restoreForwards`
/// opens its forwards once the restrictions on new ones are known. Then a child process gets the
/// whole state after each change, at most once a second, and once more at the end. A write that
/// fails is repeated with the next change; each cause is logged once until a write succeeds. A file
/// that cannot be used never keeps the program from starting.
final class StateKeeper {
    private static let interval: Duration = .seconds(1)
    /// How long the end of the program may wait for the disk.
    private static let patience: Duration = .seconds(5)

    private unowned let network: HostNetwork
    private let directory: StateDirectory
    private let user: AccountFile.User?
    private let log: Logger
    private let loop: EventLoop
    private var writer: StateWriter?
    /// The forwards of an earlier run, until they are opened.
    private var forwards: [ForwardTable.Record] = []
    private var isChanged = false
    private var timer: TimerWheel.Token?
    private var nextWrite: Instant
    /// The errors that were logged since the last success.
    private var reported: Set<String> = []

    /// Opens and locks the directory.
    ///
    /// - Throws: `RoleFailure` if another process uses it, or if it cannot be used.
    init(_ network: HostNetwork, for user: AccountFile.User?) throws(RoleFailure) {
        self.network = network
        self.user = user
        log = network.log
        loop = network.loop
        nextWrite = loop.now
        let path = network.settings.stateDirectory
        do {
            directory = try StateDirectory(path, for: user)
        } catch {
            throw RoleFailure("state \(path): \(error)")
        }
    }

    // MARK: The start

    /// Restores the leases of an earlier run.
    func readLeases() {
        guard let state = readFile() else { return }
        forwards = state.forwards
        let now = loop.now
        let restored =
            state.leases.count { lease in
                let record = LeasePool.Record(
                    address: lease.address,
                    holder: lease.holder,
                    expires: now + state.rest(until: lease.expires)
                )
                return network.dhcp.restore(record, name: lease.hostName, now: now)
            } + restoreIPv6(state)
        log.info(
            "state restored",
            [
                "directory": directory.path, "leases": String(restored),
                "forwards": String(forwards.count),
            ]
        )
        let dropped = state.leases.count + state.ipv6Leases.count - restored
        guard dropped > 0 else { return }
        log.warning(
            "leases dropped: this network cannot have their addresses",
            ["leases": String(dropped)]
        )
    }

    /// Restores the leases in IPv6, after those in IPv4, whose numbers they share.
    ///
    /// - Returns: How many there are now.
    private func restoreIPv6(_ state: NetworkState) -> Int {
        guard let router = network.router else { return 0 }
        let now = loop.now
        return state.ipv6Leases.count { lease in
            router.restore(
                DHCPv6Server.Lease(
                    address: lease.address,
                    mac: lease.mac,
                    expires: now + state.rest(until: lease.expires)
                ),
                name: lease.hostName
            )
        }
    }

    private func readFile() -> NetworkState? {
        switch directory.read() {
        case .absent: return nil
        case .unusable(let reason): setAside(reason)
        case .octets(let octets):
            do throws(NetworkStateError) {
                return try NetworkState(reading: octets)
            } catch {
                setAside("\(error)")
            }
        }
        return nil
    }

    private func setAside(_ reason: String) {
        let name = "\(directory.path)/\(StateDirectory.fileName)"
        do throws(SystemError) {
            try directory.setAside()
            log.error(
                "cannot read the state; starting without it",
                ["file": name, "cause": reason, "renamed": StateDirectory.asideName]
            )
        } catch {
            log.error(
                "cannot read the state, nor rename its file; starting without it",
                ["file": name, "cause": reason, "rename": "\(error)"]
            )
        }
    }

    /// Opens the forwards of an earlier run, and records changes from now on.
    ///
    /// - Parameter isRestricted: Whether the child that writes gets a sandbox.
    /// - Throws: `RoleFailure` if that child cannot be started.
    func start(isRestricted: Bool) throws(RoleFailure) {
        for record in forwards {
            do throws(ForwardError) {
                try network.mayOpen(record)
                try network.forwards.restore(record)
            } catch {
                log.warning(
                    "forward dropped",
                    ["local": record.local, "remote": record.remote, "cause": "\(error)"]
                )
            }
        }
        forwards = []
        do {
            writer = try StateWriter(
                directory,
                as: user,
                isRestricted: isRestricted,
                loop: loop,
                finished: { [unowned self] in finished($0) }
            )
        } catch {
            throw RoleFailure("state \(directory.path): \(error)")
        }
        network.dhcp.leasesChanged = { [unowned self] in change() }
        network.forwards.changed = { [unowned self] in change() }
    }

    // MARK: Changes

    private func change() {
        isChanged = true
        schedule()
    }

    private func schedule() {
        guard timer == nil, let writer, !writer.isBusy else { return }
        // Not at once: changes of the same turn share a write.
        timer = loop.after(max(nextWrite - loop.now, .zero)) { [unowned self] _ in
            timer = nil
            write()
        }
    }

    private func write() {
        isChanged = false
        nextWrite = loop.now + Self.interval
        writer?.write(state.octets)
    }

    private func finished(_ error: SystemError?) {
        guard let error else {
            reported = []
            if isChanged { schedule() }
            return
        }
        guard reported.insert("\(error)").inserted else { return }
        log.error(
            "cannot write the state; the next change tries again",
            ["directory": directory.path, "cause": "\(error)"]
        )
    }

    private var state: NetworkState {
        let now = loop.now
        var state = NetworkState(written: WallClock.microseconds() / 1_000_000)
        let written = state.written
        func wallTime(of end: Instant) -> Int64 {
            max(written + (end - now).components.seconds, 0)
        }
        state.leases = network.dhcp.records(now: now).map { record, name in
            NetworkState.Lease(
                address: record.address,
                holder: record.holder,
                hostName: name,
                expires: wallTime(of: record.expires)
            )
        }
        state.ipv6Leases = (network.router?.records ?? []).map { lease in
            NetworkState.IPv6Lease(
                address: lease.address,
                mac: lease.mac,
                hostName: network.dhcp.guestNames.name(of: lease.address, now: now),
                expires: wallTime(of: lease.expires)
            )
        }
        state.forwards = network.forwards.records
        return state
    }

    // MARK: The end

    /// Writes the last state; forwards must still be open.
    func close() {
        if let timer { loop.cancel(timer) }
        timer = nil
        network.dhcp.leasesChanged = {}
        network.forwards.changed = {}
        guard let writer else { return }
        self.writer = nil
        writer.finish(with: state.octets, waitingAtMost: Self.patience)
    }
}

extension HostNetwork {
    /// Checks whether a forward of an earlier run may be opened again under today's settings.
    ///
    /// - Throws: `ForwardError`.
    fileprivate func mayOpen(_ record: ForwardTable.Record) throws(ForwardError) {
        guard case .guest(let guest) = record.owner else { return }
        guard settings.guestAPI != .none else {
            throw .forbidden("--guest-api none: guests can publish no ports")
        }
        guard engine.plan.isGuest(guest) else {
            throw .forbidden("its owner \(guest) is not a guest's address")
        }
        _ = try guestForwards.check(
            record.transport.rawValue,
            local: record.local,
            remote: record.remote,
            client: guest
        )
    }
}
