/// What people see of a network while it runs: failures, conflicts and the capture.
extension HostNetwork {
    /// Warns of guests with addresses that they must not use.
    func reportConflicts() {
        let conflicts = ConflictLog(log) { [loop] in loop.now }
        engine.ethernet.conflict = { conflicts.add($0) }
    }

    /// Connects the record of failures with those who know of them.
    func connectFailures() {
        forwards.failures = engine.failures
        engine.failures.name = { [unowned dns] in dns.names.name(of: $0) }
    }

    /// Creates the live captures, of which there are none yet.
    func makeStreams() -> CaptureStreams {
        let streams = CaptureStreams(
            engine.ethernet,
            counters: capture.counters,
            loop: loop,
            application: "rdnet \(RoleRegistry.version)"
        ) { [unowned self] in knownNames }
        dns.names.noted = { [weak streams] address, name in streams?.learned(address, name) }
        return streams
    }

    /// The names of guests, of the gateway, and of what guests have looked up.
    private var knownNames: [(address: IPAddress, name: String)] {
        let guests = guestAddresses.compactMap { guest in
            guest.name.map { (address: guest.address, name: $0) }
        }
        let own = [(settings.gateway, "gateway"), (settings.hostAlias, "host")]
        return own.map { (address: $0, name: $1) } + guests + dns.names.all
    }

    /// Starts or stops the capture while the program runs.
    func toggleCapture() {
        if capture.isOn { return capture.stop() }
        do {
            try startCapture()
        } catch {
            log.error("capture failed", ["error": error.sentence])
        }
    }

    func startCapture() throws(RoleFailure) {
        do {
            try capture.start()
        } catch {
            throw RoleFailure("capture \(capture.path): \(error.reason)")
        }
    }
}
