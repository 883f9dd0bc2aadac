import Testing

@testable import RDNetKit

/// A segment from the engine; its numbers count from each side's SYN.
struct ScriptedSegment: CustomStringConvertible {
    var flags: GuestWire.TCPFlags
    var sequence: Int
    var acknowledgment: Int
    var window: Int
    var options: GuestWire.TCPOptions
    var payload: [UInt8]

    var text: String { String(decoding: payload, as: UTF8.self) }
    /// The sequence space that the segment occupies.
    var length: Int {
        payload.count + (flags.contains(.fin) ? 1 : 0) + (flags.contains(.syn) ? 1 : 0)
    }

    var description: String {
        "\(Self.name(flags)) \(sequence):\(sequence + length) ack \(acknowledgment) win \(window)"
    }

    static func name(_ flags: GuestWire.TCPFlags) -> String {
        let names: [(GuestWire.TCPFlags, String)] = [
            (.syn, "S"), (.fin, "F"), (.rst, "R"), (.psh, "P"), (.ack, "."),
        ]
        return names.filter { flags.contains($0.0) }.map { $0.1 }.joined()
    }
}

extension GuestWire.TCPOptions {
    /// Options as most guests offer them; the scale of 0 keeps window fields readable.
    static var usual: GuestWire.TCPOptions {
        var options = GuestWire.TCPOptions()
        options.maximumSegmentSize = 1460
        options.windowScale = 0
        options.sackPermitted = true
        return options
    }
}

/// One TCP connection of a scripted guest; numbers count from each side's SYN.
final class ScriptedConnection {
    let guest: ScriptedGuest
    let local: Endpoint
    let remote: Endpoint
    /// The sequence number of the guest's SYN.
    let initial: SequenceNumber
    /// The sequence number of the engine's SYN, known once a segment carries it.
    private(set) var peerInitial = SequenceNumber(0)
    /// The default window field of sent segments.
    var window = 65_535
    /// The position after everything that the guest sent in order.
    var next = 0
    /// The position after everything that the guest received in order.
    private(set) var seen = 0
    private var waiting: [ScriptedSegment] = []

    init(
        _ guest: ScriptedGuest,
        to remote: Endpoint,
        from port: UInt16? = nil,
        source: IPAddress = ScriptedGuest.address,
        initial: UInt32 = 1000
    ) {
        self.guest = guest
        self.remote = remote
        self.initial = SequenceNumber(initial)
        local = Endpoint(address: source, port: port ?? guest.freshPort())
    }

    // MARK: Sending

    /// Returns the bytes of a segment, checksum complete.
    func segment(
        _ flags: GuestWire.TCPFlags,
        _ payload: [UInt8] = [],
        at sequence: Int,
        ack: Int,
        window: Int,
        options: GuestWire.TCPOptions = GuestWire.TCPOptions()
    ) -> [UInt8] {
        var header = GuestWire.TCP(
            sourcePort: local.port,
            destinationPort: remote.port,
            sequence: initial + sequence,
            acknowledgment: flags.contains(.ack) ? peerInitial + ack : SequenceNumber(0),
            flags: flags,
            window: UInt16(window)
        )
        header.options = options
        var octets = header.octets + payload
        let pseudo = PlainChecksum.pseudoHeader(
            local.address,
            remote.address,
            GuestWire.Transport.tcp,
            octets.count
        )
        PlainChecksum.store(PlainChecksum.of(pseudo + octets), in: &octets, at: 16)
        return octets
    }

    /// Sends a segment, by default after all sent data and with an ACK of all received data.
    func send(
        _ flags: GuestWire.TCPFlags,
        _ payload: [UInt8],
        at sequence: Int? = nil,
        ack: Int? = nil,
        window: Int? = nil,
        options: GuestWire.TCPOptions = GuestWire.TCPOptions()
    ) {
        let octets = segment(
            flags,
            payload,
            at: sequence ?? next,
            ack: ack ?? seen,
            window: window ?? self.window,
            options: options
        )
        if sequence == nil {
            next += payload.count
            if !flags.isDisjoint(with: [.syn, .fin]) { next += 1 }
        }
        var header = guest.header(GuestWire.Transport.tcp, to: remote.address)
        header.source = local.address
        guest.send(header, octets)
    }

    func send(
        _ flags: GuestWire.TCPFlags,
        _ text: String = "",
        at sequence: Int? = nil,
        ack: Int? = nil,
        window: Int? = nil,
        options: GuestWire.TCPOptions = GuestWire.TCPOptions()
    ) {
        send(flags, Array(text.utf8), at: sequence, ack: ack, window: window, options: options)
    }

    // MARK: Receiving

    /// Takes every segment that no `expect` has taken.
    func takeAll() throws -> [ScriptedSegment] {
        try guest.settle()
        try collect()
        defer { waiting = [] }
        waiting.forEach { see($0) }
        return waiting
    }

    private func collect() throws {
        waiting += try guest.take { packet in
            guard let (ip, octets) = try ScriptedGuest.readIPv4(packet),
                ip.transport == GuestWire.Transport.tcp, ip.source == self.remote.address,
                ip.destination == self.local.address
            else { return nil }
            let header = try GuestWire.TCP(reading: octets)
            guard header.sourcePort == self.remote.port, header.destinationPort == self.local.port
            else { return nil }
            return self.relative(header, Array(octets[header.headerLength...]))
        }
    }

    private func relative(_ header: GuestWire.TCP, _ payload: [UInt8]) -> ScriptedSegment {
        if header.flags.contains(.syn) { peerInitial = header.sequence }
        return ScriptedSegment(
            flags: header.flags.subtracting(.psh),
            sequence: header.sequence - peerInitial,
            acknowledgment: header.acknowledgment - initial,
            window: Int(header.window),
            options: header.options,
            payload: payload
        )
    }

    private func see(_ segment: ScriptedSegment) {
        if segment.sequence <= seen { seen = max(seen, segment.sequence + segment.length) }
    }

    /// Takes the next segment and checks it.
    @discardableResult
    func expect(
        _ flags: GuestWire.TCPFlags,
        at sequence: Int? = nil,
        ack: Int? = nil,
        length: Int? = nil,
        text: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> ScriptedSegment {
        try guest.settle()
        try guest.turn(
            until: {
                try self.collect()
                return !self.waiting.isEmpty
            },
            "segment \(ScriptedSegment.name(flags)) at \(sourceLocation)"
        )
        let segment = waiting.removeFirst()
        #expect(segment.flags == flags, "\(segment)", sourceLocation: sourceLocation)
        if let sequence {
            #expect(segment.sequence == sequence, "\(segment)", sourceLocation: sourceLocation)
        }
        if let ack {
            #expect(segment.acknowledgment == ack, "\(segment)", sourceLocation: sourceLocation)
        }
        if let length {
            #expect(segment.payload.count == length, "\(segment)", sourceLocation: sourceLocation)
        }
        if let text { #expect(segment.text == text, "\(segment)", sourceLocation: sourceLocation) }
        see(segment)
        return segment
    }

    /// Checks that no segment waits, and that none arrives without the passage of time.
    func expectNothing(sourceLocation: SourceLocation = #_sourceLocation) throws {
        try guest.settle()
        try collect()
        #expect(waiting.isEmpty, "\(waiting)", sourceLocation: sourceLocation)
        waiting = []
    }

    /// Receives this many bytes in order and acknowledges every segment.
    func receive(_ count: Int) throws -> [UInt8] {
        var octets: [UInt8] = []
        while octets.count < count {
            let segment = try expect(.ack)
            octets += segment.payload
            send(.ack)
        }
        return octets
    }

    // MARK: Openings

    /// Performs the guest's half of the handshake.
    func shakeHands(_ options: GuestWire.TCPOptions = .usual) throws {
        send(.syn, options: options)
        try expect([.syn, .ack], at: 0, ack: 1)
        send(.ack)
        try guest.settle()
    }
}

extension ScriptedGuest {
    /// Connects to a listener on the host, through the host alias.
    func connect(
        to listener: HostListener,
        initial: UInt32 = 1000,
        options: GuestWire.TCPOptions = .usual,
        window: Int = 65_535
    ) throws -> (tcp: ScriptedConnection, host: HostPeer) {
        let remote = Endpoint(address: Self.hostAlias, port: listener.port)
        let tcp = ScriptedConnection(self, to: remote, initial: initial)
        tcp.window = window
        try tcp.shakeHands(options)
        var host: HostPeer?
        try turn(
            until: {
                host = try listener.accept()
                return host != nil
            },
            "the host's connection"
        )
        return (tcp, try #require(host))
    }

    /// Connects to a gateway port whose far end is a unix socket.
    func connectToService(
        initial: UInt32 = 1000,
        options: GuestWire.TCPOptions = .usual,
        window: Int = 65_535
    ) throws -> (tcp: ScriptedConnection, host: HostPeer) {
        serve(7)
        let remote = Endpoint(address: Self.gateway, port: 7)
        let tcp = ScriptedConnection(self, to: remote, initial: initial)
        tcp.window = window
        try tcp.shakeHands(options)
        return (tcp, try #require(served.last))
    }
}
