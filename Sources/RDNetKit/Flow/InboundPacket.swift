/// One whole IP packet from a guest, borrowed for the duration of a call.
struct InboundPacket {
    let header: IPHeader
    /// Transport header and data.
    let payload: UnsafeRawBufferPointer
    /// What the guest left to its network card.
    let offload: VirtioNetHeader
    /// The sender's MAC address.
    let mac: MACAddress
    /// The turn's clock.
    let now: Instant

    @inline(__always)
    init(
        _ header: IPHeader,
        _ payload: UnsafeRawBufferPointer,
        _ offload: VirtioNetHeader = .finished,
        from mac: MACAddress,
        now: Instant
    ) {
        self.header = header
        self.payload = payload
        self.offload = offload
        self.mac = mac
        self.now = now
    }

    @inline(__always)
    var source: IPAddress { header.source }
    @inline(__always)
    var destination: IPAddress { header.destination }

    /// Verifies the transport checksum of the whole payload or its start, unless the kernel did or
    /// it is still partial.
    @inline(__always)
    func verifyChecksum(of octets: UnsafeRawBufferPointer) throws(PacketError) {
        if offload.needsChecksum || offload.checksumIsValid { return }
        guard header.checksum(of: octets) == 0 else { throw .badChecksum }
    }

    /// The start of the payload as an ICMP error quotes it, with a complete checksum.
    var quote: [UInt8] {
        var octets = Array(payload.prefix(ICMPError.maximumQuote(to: source)))
        let field = Int(offload.checksumOffset)
        guard offload.needsChecksum, field + 2 <= octets.count else { return octets }
        // The field holds the pseudo-header's sum, so summing everything completes it.
        let sum = InternetChecksum.checksum(payload)
        octets[field] = UInt8(truncatingIfNeeded: sum >> 8)
        octets[field + 1] = UInt8(truncatingIfNeeded: sum)
        return octets
    }
}
