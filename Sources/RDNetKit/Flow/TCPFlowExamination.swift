/// A guest's bytes wait until the policy has admitted the server that they name.
extension TCPFlow {
    /// Keeps bytes back, and lets go of those that may leave.
    func examine(_ payload: UnsafeRawBufferPointer, now: Instant) {
        pending.append(payload)
        readOn(now: now)
        guard phase == .open else { return }
        if examination != nil, examination?.admitted == 0, room == 0 {
            // The window is full of what may not leave, so the rest would never come.
            return conclude(.hidden, hidesMore: false, now: now)
        }
        flows.enqueue(self)
    }

    /// The guest sends no more: what it has sent is all that there is to read.
    func endExamination(now: Instant) {
        readOn(now: now)
        guard phase == .open, let examination, pending.count > examination.admitted else { return }
        conclude(examination.nameAtEnd, hidesMore: false, now: now)
    }

    private func readOn(now: Instant) {
        guard let examination, pending.count > examination.admitted else { return }
        let finding = pending.read(from: examination.admitted) { examination.read($0) }
        switch finding {
        case .incomplete: break
        case .name(let shown, let hidesMore): conclude(shown, hidesMore: hidesMore, now: now)
        }
    }

    /// Asks the policy about the name that the bytes show.
    private func conclude(_ shown: ShownName, hidesMore: Bool, now: Instant) {
        guard let server, let dialed else { return abort(.both, now: now) }
        server.shown = shown
        let host = Endpoint(address: dialed, port: key.remote.port)
        guard flows.path.stillAdmits(key, to: host, server, hidesName: hidesMore) else {
            flows.path.drop(.policy)
            return abort(.both, now: now)
        }
        examination = nil
        flows.enqueue(self)
    }
}
