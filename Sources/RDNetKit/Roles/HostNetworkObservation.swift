/// What people see of a network while it runs: failures and the capture.
extension HostNetwork {
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
