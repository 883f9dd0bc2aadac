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
