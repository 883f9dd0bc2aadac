/// Handshakes, greetings, frames on streams and the offload negotiation: bytes in pieces.
enum StreamFuzz {
    static func run(_ input: FuzzInput) {
        runFuzzCase(
            input,
            [
                guest, { host(&$0, port: nil) }, { host(&$0, port: 6_669) }, vpnkit, frames,
                { try negotiation(&$0, .accepting) }, { try negotiation(&$0, .offering(.all)) },
                messages, portFiles,
            ]
        )
    }

    private static let phrase = Array(RancherProfile.current.signature.utf8)

    // MARK: Handshakes

    private static func guest(_ input: inout FuzzInput) {
        converse(GuestExchange(phrase: phrase, ready: Array("READY".utf8)), &input)
    }

    private static func host(_ input: inout FuzzInput, port: UInt32?) {
        converse(HostExchange(hearing: phrase, saying: Array("READY".utf8), asking: port), &input)
    }

    private static func vpnkit(_ input: inout FuzzInput) {
        converse(VPNKitExchange(mtu: 1_500, choosing: { _ in .standardGuest }), &input)
    }

    /// Any events in any order; the exchange ends with the deadline at the latest, and only once.
    private static func converse(_ start: some HandshakeExchange, _ input: inout FuzzInput) {
        var exchange = start
        var hasEnded = false
        func handle(_ event: ExchangeEvent) {
            switch exchange.next(event) {
            case .wait: break
            case .send(let octets): mustHold(!hasEnded && !octets.isEmpty, "says nothing")
            case .end:
                mustHold(!hasEnded, "ends twice")
                hasEnded = true
            }
        }
        while !input.isEmpty {
            switch input.number(below: 8) {
            case 0: handle(.connected)
            case 1: handle(.sent)
            case 2: handle(.ended)
            case 3: handle(.failed("failed"))
            case 4: handle(.sendingFailed("failed"))
            default:
                // As HandshakeConnection reads: at least one byte, and no more than wanted.
                let octets = input.take(min(Int(input.octet()) + 1, exchange.octetsWanted))
                if !octets.isEmpty { handle(.received(octets)) }
            }
        }
        handle(.deadlinePassed)
        mustHold(hasEnded, "outlives its deadline")
    }

    // MARK: Frames

    /// Frames in pieces equal the frames in one piece, in every format.
    private static func frames(_ input: inout FuzzInput) {
        let formats = [StreamFormat.littleEndian16, .bigEndian32, .extended]
        let format = formats[input.number(below: formats.count)]
        let (whole, pieces) = input.pieces()
        mustHold(frames(in: [whole], format) == frames(in: pieces, format), "other frames")
    }

    private static func frames(in pieces: [[UInt8]], _ format: StreamFormat) -> [[UInt8]] {
        var stream = StreamInput(format: format)
        var frames: [[UInt8]] = []
        do {
            for piece in pieces {
                _ = try stream.fill { (room) throws(SystemError) in
                    room.copyBytes(from: piece)
                    return piece.count
                }
                while let frame = try stream.next() { frames.append(Array(frame.octets)) }
            }
        } catch {
            // What came before the bad length counts.
        }
        return frames
    }

    /// Messages of DNS over TCP in pieces.
    private static func messages(_ input: inout FuzzInput) throws {
        let (_, pieces) = input.pieces()
        let pair = try Socket.pair()
        var buffer = DNSStreamBuffer(limit: DNSQuery.maximumLength)
        let scratch = ReceiveBuffer()
        for piece in pieces {
            _ = try Socket.send(pair.other, piece)
            _ = try buffer.fill(from: pair.one, through: scratch)
            while !buffer.isOverlong, let message = buffer.nextMessage() {
                mustHold(message.count <= DNSQuery.maximumLength, "\(message.count)")
                buffer.queue(message)
            }
            try buffer.flush(to: pair.one)
            _ = try Socket.receive(pair.other, into: scratch.memory)
        }
    }

    /// A session of the control file system: answers have the length that they say, and nothing
    /// is left of it.
    private static func portFiles(_ input: inout FuzzInput) throws {
        let system = PortFileSystem(log: .discarding()) { request, _ throws(PortFileError) in
            throw .allocated(place: "\(request)")
        }
        let session = NinePSession(system, client: nil)
        let dialect = input.octet() & 1 == 0 ? NinePDialect.plain : .unix
        var version: [UInt8] = [0, 0, 0, 0, 100, 255, 255, 0, 32, 0, 0]
        version.append9P(dialect.rawValue)
        mustHold(session.answer(version) != nil, "no session")
        while !input.isEmpty, !session.isOver {
            let message = [0, 0, 0, 0] + input.take(3 + Int(input.octet()))
            guard message.count >= NinePRequest.headerLength else { break }
            guard let answer = session.answer(message) else { continue }
            let length = (0..<4).reduce(0) { $0 | Int(answer[$1]) << (8 * $1) }
            mustHold(length == answer.count && length <= session.lengthLimit, "\(length) octets")
        }
        session.end()
        mustHold(system.listing(in: dialect).count == 3, "a directory outlives its session")
    }

    // MARK: Negotiation

    /// A link whose peer says anything in any pieces: no frame of an impossible length comes out.
    private static func negotiation(
        _ input: inout FuzzInput,
        _ role: StreamLink.NegotiationRole
    ) throws {
        let loop = try EventLoop(clock: { Instant(nanoseconds: 0) })
        let pair = try Socket.pair()
        let configuration = StreamLink.Configuration(
            name: "fuzz",
            format: .littleEndian16,
            mtu: 1_500,
            role: role,
            subnet: .standard,
            mac: .standardGateway
        )
        let link = StreamLink(pair.one, configuration, loop: loop, log: .discarding())
        let receiver = EchoingReceiver()
        try link.start(for: receiver, now: loop.now)
        defer { link.close() }
        let scratch = ReceiveBuffer()
        for piece in input.pieces().pieces where !link.isClosed {
            _ = try Socket.send(pair.other, piece)
            try loop.turn(waitingAtMost: .zero)
            link.flush(now: loop.now)
            while let count = try Socket.receive(pair.other, into: scratch.memory), count > 0 {}
        }
        mustHold(link.isClosed == receiver.hasClosed, "closed without a word")
    }

    /// Sends every frame back.
    private final class EchoingReceiver: FrameReceiver {
        private(set) var hasClosed = false

        func receive(_ frame: Frame, from link: any FrameLink, now: Instant) {
            mustHold(frame.hasReceivableLength, "a frame of \(frame.octets.count) bytes")
            link.send(frame, .bulk)
        }

        func batchEnded(on link: any FrameLink, now: Instant) {}
        func hasRoom(_ link: any FrameLink, now: Instant) {}

        func closed(_ link: any FrameLink, reason: String, now: Instant) {
            hasClosed = true
        }
    }
}
