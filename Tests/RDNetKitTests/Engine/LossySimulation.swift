import Glibc

@testable import RDNetKit

/// One connection between a simulated guest and a host program, over a lossy link.
///
/// The link loses, duplicates, delays and reorders packets. The seed determines everything; no real
/// time passes. The invariants: both streams arrive byte for byte, both ends close cleanly, the
/// engine never shrinks an offered window and never sends beyond the guest's, and no flow is left
/// at the end.
final class LossySimulation {
    private struct Flight {
        var arrival: Instant
        var isForGuest: Bool
        var header: GuestWire.TCP
        var payload: ArraySlice<UInt8>
    }

    private static let guestPort: UInt16 = 40_000
    private static let maximumTurns = 60_000

    let plan: Plan
    private var random: SeededRandom
    private let scripted: ScriptedGuest
    private let guest: SimulatedGuest
    private let data: [UInt8]
    private var host: HostPeer?
    private var flights: [Flight] = []
    private var remote = Endpoint(address: ScriptedGuest.gateway, port: 7)
    private var engineInitial: SequenceNumber?
    private var engineEdge: Int?
    private var written = 0
    private var hostHasClosed = false
    private(set) var turns = 0
    private(set) var failure: String?

    init(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        plan = Plan(drawnWith: &random)
        let size = max(plan.upload, plan.download)
        data = Self.makeData(size, &random)
        scripted = try ScriptedGuest(support: plan.peeksAtOffset ? .probe() : .none)
        scripted.link.bulkLimit = plan.linkRoom
        guest = SimulatedGuest(
            plan.guest,
            data: data,
            upload: plan.upload,
            now: scripted.clock.now
        )
        self.random = random
    }

    private static func makeData(_ count: Int, _ random: inout SeededRandom) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count + 8) { buffer, used in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            for offset in stride(from: 0, to: count, by: 8) {
                raw.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
            }
            used = count
        }
    }

    // MARK: Running

    /// Runs to the end; returns nil, or the invariant that failed.
    func run() throws -> String? {
        try open()
        var step = Duration.milliseconds(1)
        while !isDone, failure == nil, turns < Self.maximumTurns {
            turns += 1
            let moved = deliver()
            guest.tick(now: scripted.clock.now)
            launchFromGuest()
            try serveHost()
            try scripted.loop.turn(waitingAtMost: .zero)
            let sent = launchFromEngine()
            step = moved || sent ? .milliseconds(1) : min(step * 2, .milliseconds(300))
            advance(by: step)
            if let problem = guest.failure { failure = problem }
            if guest.isReset, !isComplete { failure = "reset" }
        }
        if failure == nil, !isDone { failure = "not finished after \(turns) turns: \(progress)" }
        return failure.map { "\($0); \(progress); \(plan)" }
    }

    private var progress: String {
        """
        host read \(host?.received.count ?? -1), end \(host?.hasEnded ?? false), wrote \(written); guest has \
        \(guest.received), end \(guest.hasEnd), acknowledged \(guest.unacknowledged); flows \(scripted.engine.tcp.count)
        """
    }

    /// Whether both streams have arrived, including their ends.
    private var isComplete: Bool {
        guard let host else { return false }
        return host.hasEnded && host.received.count == plan.upload && guest.hasEnd
            && guest.received == plan.download
    }

    private var isDone: Bool {
        isComplete && (guest.isAcknowledged || guest.isReset) && scripted.engine.tcp.count == 0
    }

    private func open() throws {
        guard plan.opensFromHost else {
            scripted.serve(7)
            return guest.open(now: scripted.clock.now)
        }
        let pair = try Socket.pair()
        host = HostPeer(try pair.other.duplicate())
        // A slow host gets a small kernel buffer, so that the engine must keep the rest.
        if plan.hostReads < Int.max { try Socket.set(pair.one, SOL_SOCKET, SO_SNDBUF, to: 4096) }
        scripted.engine.connect(
            to: Endpoint(address: ScriptedGuest.address, port: Self.guestPort),
            joining: try pair.one.duplicate()
        )
    }

    private func advance(by step: Duration) {
        let now = scripted.clock.now
        var target = now + step
        if let first = flights.first, first.arrival < target { target = first.arrival }
        if let deadline = guest.deadline, deadline < target { target = deadline }
        if target > now { scripted.clock.advance(target - now) }
    }

    // MARK: The host's program

    private func serveHost() throws {
        if host == nil { host = scripted.served.first }
        guard let host, !hostHasClosed else { return }
        host.read(atMost: plan.hostReads)
        if let errno = host.failure { failure = "the host's socket failed: \(errno)" }
        if !isGenuine(host) { failure = "wrong octets at the host" }
        let available = plan.echoes ? min(host.received.count, plan.download) : plan.download
        if written < available {
            written += try host.write(data[written..<min(available, written + 65_536)])
        }
        if written == plan.download, !plan.hostEndsLast || host.hasEnded, !hostHasClosed {
            hostHasClosed = host.hasEnded
            host.endSending()
        }
    }

    private func isGenuine(_ host: HostPeer) -> Bool {
        guard host.received.count <= plan.upload else { return false }
        return isSame(host.received[...], data[..<host.received.count])
    }

    // MARK: The link

    private func deliver() -> Bool {
        let now = scripted.clock.now
        var count = 0
        while count < flights.count, flights[count].arrival <= now { count += 1 }
        guard count > 0 else { return false }
        let due = flights[..<count]
        flights.removeFirst(count)
        for flight in due {
            if flight.isForGuest {
                guest.receive(flight.header, flight.payload, now: now)
            } else {
                handOver(flight)
            }
        }
        scripted.engine.batchEnded(on: scripted.link, now: now)
        return true
    }

    private func launch(_ isForGuest: Bool, _ header: GuestWire.TCP, _ payload: ArraySlice<UInt8>) {
        for copy in 0..<2 {
            if copy == 1, Double.random(in: 0..<1, using: &random) >= plan.duplication { return }
            if Double.random(in: 0..<1, using: &random) < plan.loss { continue }
            var arrival = scripted.clock.now + plan.delay
            if plan.jitter > .zero {
                let jitter = Int64.random(in: 0...plan.jitter.wholeNanoseconds, using: &random)
                arrival = arrival + .nanoseconds(jitter)
            }
            if Double.random(in: 0..<1, using: &random) < plan.reordering {
                arrival = arrival + plan.delay * Int.random(in: 1...3, using: &random)
            }
            let flight = Flight(
                arrival: arrival,
                isForGuest: isForGuest,
                header: header,
                payload: payload
            )
            var index = flights.count
            while index > 0, flights[index - 1].arrival > arrival { index -= 1 }
            flights.insert(flight, at: index)
        }
    }

    private func launchFromGuest() {
        for segment in guest.takeOutgoing() {
            var header = GuestWire.TCP(
                sourcePort: Self.guestPort,
                destinationPort: remote.port,
                sequence: segment.sequence,
                acknowledgment: segment.acknowledgment,
                flags: segment.flags,
                window: segment.window
            )
            header.options = segment.options
            launch(false, header, data[segment.payload])
        }
    }

    private func handOver(_ flight: Flight) {
        let segment = flight.header.octets + flight.payload
        var trusted = VirtioNetHeader()
        trusted.checksumIsValid = true
        let frame = scripted.frame(
            scripted.header(GuestWire.Transport.tcp, to: remote.address),
            segment
        )
        frame.withUnsafeBytes {
            scripted.engine.receive(
                Frame($0, trusted),
                from: scripted.link,
                now: scripted.clock.now
            )
        }
    }

    private func launchFromEngine() -> Bool {
        let frames = scripted.link.sent
        scripted.link.sent = []
        var launched = false
        for frame in frames {
            guard frame.octets.count >= 54, frame.octets[12] == 8, frame.octets[13] == 0,
                frame.octets[23] == GuestWire.Transport.tcp
            else { continue }
            launched = true
            launchFromEngine(frame)
        }
        return launched
    }

    private func launchFromEngine(_ frame: RecordingLink.Sent) {
        let header: GuestWire.TCP
        do {
            header = try GuestWire.TCP(reading: frame.octets[34...])
        } catch {
            return failure = "a segment that cannot be read: \(error)"
        }
        remote.port = header.sourcePort
        let payload = frame.octets[(34 + header.headerLength)...]
        check(header, payload.count)
        // Cuts the frame into segments, as the guest's kernel would see it.
        let size =
            frame.header.segmentation == .none
            ? max(payload.count, 1) : Int(frame.header.segmentSize)
        let option = plan.guest.clock == nil ? 0 : TCPTimestamps.optionLength
        if min(size, payload.count) > max(plan.guest.segmentSize, 64) - option {
            failure = "a segment of \(min(size, payload.count)) octets"
        }
        var offset = 0
        repeat {
            let count = min(size, payload.count - offset)
            var part = header
            part.sequence = header.sequence + offset
            let start = payload.startIndex + offset
            launch(true, part, payload[start..<(start + count)])
            offset += count
        } while offset < payload.count
    }

    /// Checks the invariants of a segment that leaves the engine.
    private func check(_ header: GuestWire.TCP, _ count: Int) {
        if header.flags.contains(.syn) { engineInitial = header.sequence }
        guard let engineInitial, !header.flags.contains(.rst) else { return }
        let position = header.sequence - engineInitial
        if count > 0, position + count > guest.offeredEdge {
            failure = "sent to \(position + count), offered was \(guest.offeredEdge)"
        }
        guard header.flags.contains(.ack) else { return }
        let acknowledged = header.acknowledgment - guest.initial
        if acknowledged > guest.sentEdge { failure = "acknowledged \(acknowledged)" }
        let scale = header.flags.contains(.syn) || plan.guest.scale == nil ? 0 : 7
        let edge = acknowledged + Int(header.window) << scale
        if let engineEdge, edge < engineEdge {
            failure = "the window went from \(engineEdge) back to \(edge)"
        }
        engineEdge = edge
    }
}
