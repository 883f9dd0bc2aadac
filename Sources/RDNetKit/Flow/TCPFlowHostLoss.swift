extension TCPFlows {
    /// Resets every flow whose host socket has a local address that the machine has lost.
    ///
    /// The kernel keeps such a connection and retransmits for many minutes. A flow that is still
    /// connecting ends silently: the guest's next SYN connects from another address.
    ///
    /// - Parameters:
    ///   - addresses: The lost addresses.
    ///   - now: The turn's clock.
    /// - Returns: The number of flows that ended.
    func end(losing addresses: LostAddresses, now: Instant) -> Int {
        let lost = all.filter { $0.usesLocalAddress(of: addresses) }
        for flow in lost {
            if flow.phase == .connecting { flow.close() } else { flow.abort(.both, now: now) }
        }
        return lost.count
    }
}

extension TCPFlow {
    fileprivate func usesLocalAddress(of addresses: LostAddresses) -> Bool {
        switch stream {
        case .some(let stream): addresses.contain(localAddressOf: stream.descriptor)
        case .none: false
        }
    }
}
