/// A guest's bytes wait until the policy has admitted the server that they name.
extension TCPFlow {
    /// Keeps bytes back, and lets go of those that may leave.
    func examine(_ payload: UnsafeRawBufferPointer, now: Instant) {
        pending.append(payload)
        readOn(now: now)
        guard phase == .open else { return }
        if let examination, examination.admitted == 0, room == 0 {
            // The window is full of what may not leave, so the rest would never come.
            guard admits(.hidden, now: now) else { return }
            self.examination = nil
        }
        flows.enqueue(self)
    }

    /// The guest sends no more: what it has sent is all that there is to read.
    func endExamination(now: Instant) {
        readOn(now: now)
        guard phase == .open, let examination else { return }
        if pending.count > examination.admitted {
            let shown = pending.read(from: examination.admitted) { examination.nameAtEnd($0) }
            guard admits(shown, now: now) else { return }
        }
        self.examination = nil
    }

    private func readOn(now: Instant) {
        while let examination, pending.count > examination.admitted {
            switch pending.read(from: examination.admitted, { examination.read($0) }) {
            case .incomplete:
                return
            case .passes(let count):
                examination.admitted += count
            case .request(let shown, let length):
                guard admits(shown, now: now) else { return }
                examination.admitted += length
            case .end(.none, _) where server?.shown != .unknown:
                // The protocol changes after a request that named its server.
                self.examination = nil
            case .end(let shown, let hidesMore):
                guard admits(shown, hidesMore: hidesMore, now: now) else { return }
                self.examination = nil
            }
        }
    }

    /// Asks the policy about the name that the bytes show; ends the flow if it says no.
    private func admits(_ shown: ShownName, hidesMore: Bool = false, now: Instant) -> Bool {
        guard let server, let dialed else { return false }
        server.shown = shown
        let host = Endpoint(address: dialed, port: key.remote.port)
        if flows.path.stillAdmits(key, to: host, server, hidesName: hidesMore) { return true }
        flows.path.drop(.policy)
        failed(.policy)
        abort(.both, now: now)
        return false
    }
}
