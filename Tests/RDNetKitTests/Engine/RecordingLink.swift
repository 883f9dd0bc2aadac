@testable import RDNetKit

/// A link that records the engine's frames; tests can limit its queue.
final class RecordingLink: FrameLink {
    /// A frame as the engine committed it.
    struct Sent {
        var octets: [UInt8]
        var header: VirtioNetHeader
    }

    let name = "test"
    var counters = LinkCounters()
    var receivesOffloadHeaders = false
    private(set) var isClosed = false
    /// The frames that the engine sent and no test has taken.
    var sent: [Sent] = []
    /// Bytes of bulk frames that fit between two flushes.
    var bulkLimit = Int.max
    /// Whether a flush empties the queue.
    var isDraining = true
    weak var receiver: (any FrameReceiver)?

    private var queued = 0
    private var hasRefused = false
    private let room = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Frame.maximumLength,
        alignment: 64
    )

    deinit {
        room.deallocate()
    }

    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer? {
        guard priority == .control || queued < bulkLimit else {
            hasRefused = true
            return nil
        }
        return UnsafeMutableRawBufferPointer(rebasing: room[..<count])
    }

    func commit(_ count: Int, _ header: VirtioNetHeader) {
        queued += count
        sent.append(Sent(octets: Array(room[..<count]), header: header))
    }

    func flush(now: Instant) {
        guard isDraining else { return }
        queued = 0
        guard hasRefused else { return }
        hasRefused = false
        receiver?.hasRoom(self, now: now)
    }

    /// Whether the other end is gone, which this link notices when it is asked.
    var isGone = false
    private(set) var verifications = 0

    func verifyPeer(now: Instant) {
        verifications += 1
        guard isGone else { return }
        close()
        receiver?.closed(self, reason: "the peer is gone", now: now)
    }

    private(set) var isReading = true

    func setReading(_ isReading: Bool) {
        self.isReading = isReading
    }

    func close() {
        isClosed = true
    }

    /// Returns the packets sent since the last call, as on a wire: segmented, checksums complete.
    func takePackets() throws -> [[UInt8]] {
        defer { sent = [] }
        return try sent.flatMap { try Self.packets($0) }
    }

    private static func packets(_ frame: Sent) throws -> [[UInt8]] {
        if frame.header.segmentation == .none {
            var octets = frame.octets
            if frame.header.needsChecksum {
                octets.withUnsafeMutableBytes { _ = FrameChecksum.complete($0, frame.header) }
            }
            return [octets]
        }
        return try frame.octets.withUnsafeBytes { whole in
            let segments = try FrameSegments(whole, frame.header)
            return (0..<segments.count).map { index in
                var packet = [UInt8](repeating: 0, count: segments.length(of: index))
                packet.withUnsafeMutableBytes { segments.write(index, to: $0) }
                return packet
            }
        }
    }
}
