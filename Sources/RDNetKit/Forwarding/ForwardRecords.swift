/// Forwards that survive a restart.
///
/// How it works: the API's forwards are recorded, and opened again at the next start. The kernel
/// may refuse a listening address then, because another program has taken the port meanwhile or
/// because the interface does not have its address yet. Such a forward waits: it is listed, can be
/// removed, and is tried again every ten seconds.
extension ForwardTable {
    /// Limit on recorded forwards.
    static let maximumRecords = 4096
    /// The time between two attempts to open the forwards that wait.
    static let retryInterval: Duration = .seconds(10)

    /// A forward that a client of the API opened.
    struct Record: Equatable {
        var local: String
        var remote: String
        var transport: ForwardProtocol
        /// Never `configuration`.
        var owner: ForwardOwner
    }

    /// The forwards that clients of the API opened and do not hold, in order of `local`; not more
    /// than the limit.
    var records: [Record] {
        let records = forwards.filter { $1.owner != .configuration && $1.removed == nil }
            .map { key, forward in
                Record(
                    local: key.local,
                    remote: forward.remote,
                    transport: key.transport,
                    owner: forward.owner
                )
            }
            .sorted { ($0.local, $0.transport.rawValue) < ($1.local, $1.transport.rawValue) }
        if records.count > Self.maximumRecords {
            let excess = records.count - Self.maximumRecords
            limits.reached(.recordedForwards, maximum: Self.maximumRecords, count: excess)
        }
        return Array(records.prefix(Self.maximumRecords))
    }

    /// Opens a forward of an earlier run; if the kernel refuses its address, the forward waits.
    ///
    /// - Throws: `ForwardError` for a forward that cannot be opened later either.
    func restore(_ record: Record) throws(ForwardError) {
        let key = Key(local: record.local, transport: record.transport)
        guard try Self.pairs(record.transport, record.local, record.remote).count == 1 else {
            throw .badLocal("a range of ports")
        }
        guard forwards[key] == nil else {
            throw .alreadyRunning(protocol: record.transport.rawValue, local: record.local)
        }
        try checkRoom(for: 1, record.owner)
        let host: any OpenForward
        do throws(ForwardError) {
            host = try open(key, record.remote)
        } catch {
            guard case .refused = error else { throw error }
            host = WaitingForward()
            ssh.log.warning(
                "forward waits for its address",
                ["local": record.local, "remote": record.remote, "cause": "\(error)"]
            )
            scheduleRetry()
        }
        forwards[key] = Forward(remote: record.remote, host: host, owner: record.owner)
    }

    private func scheduleRetry() {
        guard retry == nil else { return }
        retry = loop.after(Self.retryInterval) { [weak self] _ in self?.openWaiting() }
    }

    private func openWaiting() {
        retry = nil
        // A copy, because the loop changes the table.
        for (key, forward) in Array(forwards) where forward.host is WaitingForward {
            do throws(ForwardError) {
                forwards[key]?.host = try open(key, forward.remote)
                ssh.log.info("forward opened", ["local": key.local, "remote": forward.remote])
            } catch {
                ssh.log.debug("forward still waits", ["local": key.local, "cause": "\(error)"])
                scheduleRetry()
            }
        }
    }
}

/// A forward whose address the kernel refuses for now.
private final class WaitingForward: OpenForward {
    let endpoint: Endpoint? = nil

    func close() {}
}
