import Glibc

@testable import RDNetKit

/// A guest's TCP for simulations, written from RFC 9293 and independent of the engine's code.
///
/// Both directions carry the same data: byte `n` of a stream is `data[n]`. Positions count from a
/// SYN: 0 is the SYN, 1 the first byte, and the FIN follows the last byte. A timeout returns to the
/// first unacknowledged position (go-back-N), so the engine sees every kind of overlap.
final class SimulatedGuest {
    /// A guest's behavior, drawn from a seed.
    struct Behavior {
        var segmentSize = 1460
        var scale: UInt8? = 7
        var reportsSACK = true
        /// The clock's initial value; nil without timestamps.
        var clock: UInt32?
        /// The receive buffer's size in bytes.
        var capacity = 65_535
        /// Bytes that the guest's program reads per millisecond.
        var readingSpeed = 1_000_000
        var initial: UInt32 = 0
        /// Whether the guest's program waits for the host's end before it closes its half.
        var endsLast = false
        /// Whether a probe of a shut window carries one byte beyond it, as BSD's does.
        ///
        /// Otherwise it is empty and one below, as Linux's.
        var probesWithOctet = false
        var timeout = Duration.milliseconds(250)
    }

    /// A segment for the link to carry; `payload` is a range of `data`.
    struct Outgoing {
        var flags: GuestWire.TCPFlags
        var sequence: SequenceNumber
        var acknowledgment: SequenceNumber
        var window: UInt16
        var options: GuestWire.TCPOptions
        var payload: Range<Int>
    }

    let behavior: Behavior
    private let data: [UInt8]
    private let upload: Int
    private(set) var outgoing: [Outgoing] = []
    /// The first violation of the protocol, if any.
    private(set) var failure: String?

    // Sending.
    private(set) var unacknowledged = 0
    private var next = 0
    private var highest = 0
    private var peerEdge = 1
    private var peerScale = 0
    private var peerSegmentSize = 536
    private var duplicates = 0
    private var timer: Instant?
    private var backoff = 0

    // Receiving.
    private var peerInitial: SequenceNumber?
    private(set) var expected = 0
    private var early: [Range<Int>] = []
    private var finish: Int?
    private var unread = 0
    private var edge = 0
    private var lastOffer = 0
    private var needsACK = false
    private var lastDrained: Instant
    private var wasReset = false

    // Timestamps.
    private var milliseconds: UInt32 = 0
    private var recent: UInt32 = 0
    private var lastAcknowledged = 0

    init(_ behavior: Behavior, data: [UInt8], upload: Int, now: Instant) {
        self.behavior = behavior
        self.data = data
        self.upload = upload
        lastDrained = now
    }

    /// Whether the host's stream arrived completely.
    var hasEnd: Bool { finish.map { expected > $0 } ?? false }
    /// Bytes of the host's stream received in order.
    var received: Int { max(expected - 1 - (hasEnd ? 1 : 0), 0) }
    /// Whether everything that the guest sent is acknowledged, including the FIN.
    var isAcknowledged: Bool { unacknowledged == upload + 2 }
    /// The first position beyond every window that the guest offered.
    var offeredEdge: Int { edge }
    /// The first position that the guest never sent.
    var sentEdge: Int { highest }
    var isReset: Bool { wasReset }

    var initial: SequenceNumber { SequenceNumber(behavior.initial) }

    func takeOutgoing() -> [Outgoing] {
        defer { outgoing = [] }
        return outgoing
    }

    /// The time of the guest's next timer; nil if none runs.
    var deadline: Instant? { timer }

    // MARK: Opening

    /// Sends the SYN.
    func open(now: Instant) {
        highest = 1
        next = 1
        sendSYN()
        timer = now + .seconds(1)
    }

    private func sendSYN() {
        var options = GuestWire.TCPOptions()
        options.maximumSegmentSize = UInt16(behavior.segmentSize)
        options.windowScale = behavior.scale
        options.sackPermitted = behavior.reportsSACK
        options.timestamps = timestamp
        let window = min(behavior.capacity, 65_535)
        edge = max(edge, 1 + window)
        outgoing.append(
            Outgoing(
                flags: peerInitial == nil ? .syn : [.syn, .ack],
                sequence: initial,
                acknowledgment: (peerInitial ?? SequenceNumber(0)) + expected,
                window: UInt16(window),
                options: options,
                payload: 0..<0
            )
        )
    }

    // MARK: Receiving

    func receive(_ header: GuestWire.TCP, _ payload: ArraySlice<UInt8>, now: Instant) {
        milliseconds = UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000)
        guard checkClock(header) else { return }
        if header.flags.contains(.rst) {
            wasReset = true
            timer = nil
            return
        }
        if header.flags.contains(.syn) { return receiveSYN(header, now: now) }
        guard let peerInitial, header.flags.contains(.ack) else { return }
        let position = header.sequence - peerInitial
        receiveACK(header, isBare: payload.isEmpty && !header.flags.contains(.fin), now: now)
        let length = payload.count + (header.flags.contains(.fin) ? 1 : 0)
        if length > 0 { receiveStream(position, payload, header.flags.contains(.fin)) }
        if length == 0, position != expected { needsACK = true }
    }

    /// Whether a segment's timestamp is valid and not outdated (RFC 7323, 5.3).
    private func checkClock(_ header: GuestWire.TCP) -> Bool {
        guard let offer = behavior.clock else {
            if header.options.timestamps != nil, header.flags.contains(.ack) {
                failure = "a timestamp that was not offered"
            }
            return true
        }
        if header.flags.contains(.rst) { return true }
        guard let option = header.options.timestamps else {
            failure = "a segment without its timestamp"
            return false
        }
        let isSYN = header.flags == .syn
        let age = offer &+ milliseconds &- option.echo
        if !isSYN, age > milliseconds { failure = "an echo of what was never sent" }
        let position = peerInitial.map { header.sequence - $0 } ?? 0
        let difference = Int32(bitPattern: option.value &- recent)
        if peerInitial != nil, difference < 0 {
            needsACK = true
            return false
        }
        if position <= lastAcknowledged { recent = option.value }
        return true
    }

    private var timestamp: GuestWire.Timestamps? {
        behavior.clock.map { GuestWire.Timestamps(value: $0 &+ milliseconds, echo: recent) }
    }

    private func receiveSYN(_ header: GuestWire.TCP, now: Instant) {
        guard peerInitial == nil else {
            // The peer lost our SYN-ACK, or our ACK of its SYN-ACK.
            if unacknowledged == 0 { sendSYN() } else { needsACK = true }
            return
        }
        peerInitial = header.sequence
        expected = 1
        peerScale = behavior.scale == nil ? 0 : Int(header.options.windowScale ?? 0)
        peerSegmentSize = Int(header.options.maximumSegmentSize ?? 536)
        if header.flags.contains(.ack) {
            unacknowledged = 1
            peerEdge = 1 + Int(header.window)
            needsACK = true
            timer = nil
            backoff = 0
        } else {
            open(now: now)
            peerEdge = 1 + Int(header.window)
        }
    }

    private func receiveACK(_ header: GuestWire.TCP, isBare: Bool, now: Instant) {
        let acknowledged = header.acknowledgment - initial
        if acknowledged > highest {
            failure = "acknowledged \(acknowledged) of \(highest)"
            return
        }
        let right = acknowledged + Int(header.window) << peerScale
        if right > peerEdge {
            peerEdge = right
        } else if acknowledged == unacknowledged, isBare, highest > unacknowledged {
            duplicates += 1
            if duplicates == 3 { resendFirst() }
        }
        guard acknowledged > unacknowledged else { return }
        unacknowledged = acknowledged
        next = max(next, acknowledged)
        duplicates = 0
        backoff = 0
        timer = unacknowledged < highest ? now + behavior.timeout : nil
    }

    private func receiveStream(_ position: Int, _ payload: ArraySlice<UInt8>, _ fin: Bool) {
        needsACK = true
        let end = position + payload.count
        if position < 1 {
            // A probe below the first byte.
            return
        }
        if !isGenuine(payload, at: position - 1) { failure = "wrong octets at \(position)" }
        if fin {
            if let finish, finish != end { failure = "the FIN moved from \(finish) to \(end)" }
            finish = end
        }
        // Discards what exceeds the window, as a full guest does.
        let visible = position..<max(position, min(end, edge))
        if !visible.isEmpty { keep(visible) }
        let before = expected
        while let first = early.first, first.lowerBound <= expected {
            expected = max(expected, first.upperBound)
            early.removeFirst()
        }
        unread += expected - before
        if expected == finish { expected += 1 }
    }

    private func isGenuine(_ payload: ArraySlice<UInt8>, at offset: Int) -> Bool {
        guard offset + payload.count <= data.count else { return false }
        return isSame(payload, data[offset..<(offset + payload.count)])
    }

    private func keep(_ range: Range<Int>) {
        var merged = range
        early.removeAll { other in
            guard other.lowerBound <= merged.upperBound, merged.lowerBound <= other.upperBound
            else { return false }
            merged =
                min(merged.lowerBound, other.lowerBound)..<max(merged.upperBound, other.upperBound)
            return true
        }
        let index = early.firstIndex { $0.lowerBound > merged.lowerBound } ?? early.count
        early.insert(merged, at: index)
    }

    // MARK: Sending

    /// Reads, handles a due timer, and sends whatever the window allows.
    func tick(now: Instant) {
        milliseconds = UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000)
        guard !wasReset else { return }
        drain(now: now)
        if let deadline = timer, deadline <= now { timerFired(now: now) }
        guard peerInitial != nil, unacknowledged > 0 else { return }
        sendStream(now: now)
        if needsACK { sendACK() }
        // Data waits and the window is shut: starts the probe timer.
        if timer == nil, end > unacknowledged { timer = now + behavior.timeout }
    }

    private func drain(now: Instant) {
        let elapsed = Int((now - lastDrained).wholeNanoseconds / 1000)
        let read = min(unread, behavior.readingSpeed * elapsed / 1000)
        guard read > 0 || unread == 0 else { return }
        lastDrained = now
        unread -= read
        // Announces a reopened window once it is large enough.
        if lastOffer < behavior.segmentSize,
            room >= min(behavior.capacity / 2, behavior.segmentSize)
        {
            needsACK = true
        }
    }

    /// The position after everything that the program wrote, including the FIN.
    private var end: Int {
        let mayEnd = !behavior.endsLast || hasEnd
        return upload + (mayEnd ? 2 : 1)
    }

    private func sendStream(now: Instant) {
        while next < min(end, peerEdge), outgoing.count < 64 {
            sendSegment(at: next, limit: min(end, peerEdge))
        }
        // The FIN needs no window.
        if next == upload + 1, end == upload + 2, next <= peerEdge {
            sendSegment(at: next, limit: end)
        }
        if timer == nil, unacknowledged < highest { timer = now + behavior.timeout }
    }

    private func sendSegment(at position: Int, limit: Int) {
        let stop = min(position + min(behavior.segmentSize, peerSegmentSize), limit)
        let payload = (position - 1)..<min(stop - 1, upload)
        let hasFIN = stop == upload + 2 || payload.upperBound == upload && end == upload + 2
        append(hasFIN ? [.ack, .fin] : .ack, position, payload)
        next = position + payload.count + (hasFIN ? 1 : 0)
        highest = max(highest, next)
    }

    private func resendFirst() {
        let kept = next
        sendSegment(at: unacknowledged, limit: max(min(highest, upload + 1), unacknowledged + 1))
        next = kept
    }

    private func timerFired(now: Instant) {
        backoff = min(backoff + 1, 5)
        timer = now + min(behavior.timeout * (1 << backoff), .seconds(10))
        if unacknowledged == 0 { return sendSYN() }
        if unacknowledged < highest {
            next = unacknowledged
            duplicates = 0
            // Resends even into a shut window: it was open once.
            if next >= peerEdge { sendSegment(at: next, limit: next + 1) }
            return
        }
        guard end > unacknowledged, peerEdge <= unacknowledged else { return }
        if behavior.probesWithOctet, unacknowledged <= upload {
            append(.ack, unacknowledged, (unacknowledged - 1)..<unacknowledged)
        } else {
            append(.ack, unacknowledged - 1, 0..<0)
        }
    }

    private func sendACK() {
        append(.ack, min(next, max(peerEdge, unacknowledged)), 0..<0)
    }

    private var room: Int { max(behavior.capacity - unread, 0) }

    private func append(_ flags: GuestWire.TCPFlags, _ position: Int, _ payload: Range<Int>) {
        guard let peerInitial else { return }
        needsACK = false
        let scale = Int(behavior.scale ?? 0)
        // The field rounds down, because it may be smaller than the true window; the edge never
        // moves left.
        var field = min(room >> scale, 65_535)
        let kept = (max(edge - expected, 0) + (1 << scale) - 1) >> scale
        field = min(max(field, kept), 65_535)
        lastOffer = field << scale
        edge = max(edge, expected + lastOffer)
        var options = GuestWire.TCPOptions()
        options.timestamps = timestamp
        lastAcknowledged = expected
        if behavior.reportsSACK {
            options.sackBlocks = early.prefix(behavior.clock == nil ? 4 : 3).map {
                GuestWire.SACKBlock(
                    start: peerInitial + $0.lowerBound,
                    end: peerInitial + $0.upperBound
                )
            }
        }
        outgoing.append(
            Outgoing(
                flags: flags,
                sequence: initial + position,
                acknowledgment: peerInitial + expected,
                window: UInt16(field),
                options: options,
                payload: payload
            )
        )
    }
}

/// Compares two slices with memcmp(3), because a debug build compares arrays byte by byte.
func isSame(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Bool {
    guard left.count == right.count else { return false }
    return left.withUnsafeBytes { left in
        right.withUnsafeBytes { right in
            guard let one = left.baseAddress, let other = right.baseAddress else { return true }
            return memcmp(one, other, left.count) == 0
        }
    }
}
