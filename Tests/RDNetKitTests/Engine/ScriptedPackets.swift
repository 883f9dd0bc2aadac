@testable import RDNetKit

// MARK: Packets into the engine

extension ScriptedGuest {
    /// Hands one frame to the engine, as its own batch unless a batch has begun.
    ///
    /// - Parameters:
    ///   - frame: The whole frame.
    ///   - header: What an offload header says about it.
    ///   - other: The link of another guest; nil for this guest's.
    func send(
        frame: [UInt8],
        _ header: VirtioNetHeader = .finished,
        over other: RecordingLink? = nil
    ) {
        let link = other ?? link
        // A link drops frames shorter than an Ethernet header itself.
        frame.withUnsafeBytes { octets in
            engine.receive(Frame(octets, header), from: link, now: clock.now)
        }
        if !isBatching { engine.batchEnded(on: link, now: clock.now) }
    }

    /// Turns everything that `send` sends into one batch, as a link that reads many frames at once.
    func batch(_ send: () -> Void) {
        isBatching = true
        send()
        isBatching = false
        engine.batchEnded(on: link, now: clock.now)
    }

    /// Sends an ARP packet; a request is broadcast.
    func send(
        _ packet: GuestWire.ARP,
        from source: MACAddress = ScriptedGuest.mac,
        over other: RecordingLink? = nil
    ) {
        let frame = GuestWire.frame(
            to: packet.operation == .request ? .broadcast : .standardGateway,
            from: source,
            GuestWire.EtherType.arp,
            packet.octets + [UInt8](repeating: 0, count: 18)
        )
        send(frame: frame, over: other)
    }

    /// Returns an IPv4 packet in a frame from the guest to the gateway's Ethernet address.
    func frame(_ header: GuestWire.IPv4, _ payload: [UInt8]) -> [UInt8] {
        var header = header
        header.payloadLength = payload.count
        return GuestWire.frame(
            to: .standardGateway,
            from: Self.mac,
            GuestWire.EtherType.ipv4,
            header.octets + payload
        )
    }

    /// Returns an IPv4 header from the guest.
    func header(_ transport: UInt8, to destination: IPAddress) -> GuestWire.IPv4 {
        GuestWire.IPv4(
            transport: transport,
            source: Self.address,
            destination: destination,
            payloadLength: 0
        )
    }

    /// Sends an IPv4 packet.
    func send(_ header: GuestWire.IPv4, _ payload: [UInt8]) {
        send(frame: frame(header, payload))
    }

    /// Returns a UDP datagram for the guest to send, checksum complete.
    func datagram(
        from port: UInt16,
        to remote: Endpoint,
        _ payload: [UInt8],
        source: IPAddress = ScriptedGuest.address
    ) -> [UInt8] {
        let header = GuestWire.UDP(
            sourcePort: port,
            destinationPort: remote.port,
            payloadLength: payload.count
        )
        var octets = header.octets + payload
        let pseudo = PlainChecksum.pseudoHeader(
            source,
            remote.address,
            GuestWire.Transport.udp,
            octets.count
        )
        PlainChecksum.store(PlainChecksum.of(pseudo + octets), in: &octets, at: 6)
        return octets
    }

    /// Sends a UDP datagram.
    func sendUDP(
        from port: UInt16,
        to remote: Endpoint,
        _ payload: [UInt8],
        source: IPAddress = ScriptedGuest.address
    ) {
        var header = header(GuestWire.Transport.udp, to: remote.address)
        header.source = source
        send(header, datagram(from: port, to: remote, payload, source: source))
    }

    /// Returns an ICMP message, checksum complete.
    static func icmp(_ kind: GuestWire.ICMP.Kind, rest: UInt32, _ data: [UInt8]) -> [UInt8] {
        GuestWire.ICMP(kind: kind, rest: rest).octets(data)
    }

    /// Pings an address; returns whether the same data came back.
    func ping(_ address: IPAddress) throws -> Bool {
        let data = Array("are you there".utf8)
        send(
            header(GuestWire.Transport.icmp, to: address),
            Self.icmp(.echoRequest, rest: 0x1234_0001, data)
        )
        return try takeICMP().contains { header, message, octets in
            header.source == address && message.kind == .echoReply && message.rest == 0x1234_0001
                && Array(octets[8...]) == data
        }
    }
}
