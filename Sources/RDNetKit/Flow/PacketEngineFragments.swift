/// Packets that guests send in fragments (RFC 791, 3.2).
extension PacketEngine {
    /// Keeps a fragment, or continues with the packet that it completes.
    func reassemble(
        _ header: IPv4Header,
        _ payload: UnsafeRawBufferPointer,
        from mac: MACAddress,
        now: Instant
    ) throws(PacketError) {
        giveUpFragments(now: now)
        let outcome = reassembler.receive(header, payload, now: now)
        setReassemblyTimer()
        switch outcome {
        case .waiting: break
        case .discarded: drops.count(.fragment)
        case .complete(let octets):
            var whole = header
            whole.payloadLength = octets.count
            whole.moreFragments = false
            whole.fragmentOffset = 0
            // The guest fragmented the packet itself, so the host may fragment it too.
            whole.dontFragment = false
            let dispatched = octets.withUnsafeBytes { octets -> Result<Void, PacketError> in
                do throws(PacketError) {
                    let isFromBehind = !plan.isGuest(whole.source)
                    try isFromBehind
                        ? dispatchFromBehind(whole, octets, .finished, from: mac, now: now)
                        : dispatch(whole, octets, .finished, from: mac, now: now)
                    return .success(())
                } catch {
                    return .failure(error)
                }
            }
            try dispatched.get()
        }
    }

    /// Notifies the senders of packets that were not completed in time (RFC 1122, 3.3.2).
    private func giveUpFragments(now: Instant) {
        for remains in reassembler.expire(now: now) {
            drops.count(.fragment)
            // Never about a broadcast (RFC 1122, 3.2.2), including the subnet's.
            guard let remains, plan.destination(of: remains.header.destination) != .nowhere else {
                continue
            }
            sendError(GuestError(.timeExceeded(code: 1), about: remains.header, remains.payload))
        }
    }

    private func setReassemblyTimer() {
        if let reassemblyTimer, reassembler.isEmpty {
            loop.cancel(reassemblyTimer)
            self.reassemblyTimer = nil
        }
        // A timer set for a removed packet fires early and is set again.
        guard reassemblyTimer == nil, let deadline = reassembler.nextDeadline else { return }
        reassemblyTimer = loop.schedule(deadline, observer: self)
    }

    func timerFired(now: Instant) {
        reassemblyTimer = nil
        giveUpFragments(now: now)
        setReassemblyTimer()
    }
}
