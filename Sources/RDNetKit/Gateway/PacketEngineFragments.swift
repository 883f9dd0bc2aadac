/// Packets that guests send in fragments (RFC 791, 3.2; RFC 8200, 4.5).
extension PacketEngine {
    /// Keeps a fragment, or continues with the packet that it completes.
    func reassemble(_ packet: InboundPacket) throws(PacketError) {
        if !packet.header.isIPv4, complains(aboutFragment: packet) { return }
        giveUpFragments(now: packet.now)
        let outcome = reassembler.receive(packet.header, packet.payload, now: packet.now)
        setReassemblyTimer()
        switch outcome {
        case .waiting: break
        case .discarded: network.drop(.fragment)
        case .complete(let header, let octets): try dispatch(header, octets, completedBy: packet)
        }
    }

    private func dispatch(
        _ first: IPHeader,
        _ octets: [UInt8],
        completedBy packet: InboundPacket
    ) throws(PacketError) {
        if !first.isIPv4 { return try receive(first, octets, completedBy: packet) }
        var header = first
        header.payloadLength = octets.count
        header.moreFragments = false
        header.fragmentOffset = 0
        // The guest fragmented the packet itself, so the host may fragment it too.
        header.dontFragment = false
        try withOctets(of: octets) { (octets) throws(PacketError) in
            let whole = InboundPacket(header, octets, from: packet.mac, now: packet.now)
            let isFromBehind = !plan.isGuest(whole.source)
            try isFromBehind ? dispatchFromBehind(whole) : dispatch(whole)
        }
    }

    /// Lends the octets of an array, because `withUnsafeBytes` does not pass on a typed error.
    func withOctets(
        of array: [UInt8],
        _ body: (UnsafeRawBufferPointer) throws(PacketError) -> Void
    ) throws(PacketError) {
        let result = array.withUnsafeBytes { octets -> Result<Void, PacketError> in
            do throws(PacketError) {
                return .success(try body(octets))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    /// Notifies the senders of packets that were not completed in time (RFC 1122, 3.3.2).
    private func giveUpFragments(now: Instant) {
        for remains in reassembler.expire(now: now) {
            network.drop(.fragment)
            // Never about a broadcast (RFC 1122, 3.2.2), including the subnet's.
            guard let remains, plan.destination(of: remains.header.destination) != .nowhere else {
                continue
            }
            network.report(
                GuestError(.timeExceeded(code: 1), about: remains.header, remains.payload)
            )
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
