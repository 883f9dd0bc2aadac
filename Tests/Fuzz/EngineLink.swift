/// A link in memory with the output queue of a real stream; frames are checked as they leave.
final class EngineLink: FrameLink {
    let name: String
    var counters = LinkCounters()
    let receivesOffloadHeaders: Bool
    private(set) var isClosed = false
    /// Whether a flush empties the queue.
    var isDraining = true
    /// Called with each frame.
    var sent: (UnsafeRawBufferPointer, VirtioNetHeader) -> Void = { _, _ in }
    weak var receiver: (any FrameReceiver)?

    private var output: StreamOutput
    private var hasRefused = false

    init(_ name: String, isExtended: Bool, mtu: Int) {
        self.name = name
        receivesOffloadHeaders = isExtended
        output = StreamOutput(format: .littleEndian16, mtu: mtu)
        if isExtended { output.extend(.all, maximumFrame: Frame.maximumLength) }
    }

    func reserve(_ count: Int, _ priority: FramePriority) -> UnsafeMutableRawBufferPointer? {
        guard !isClosed else { return nil }
        if let room = output.reserve(count, priority) { return room }
        hasRefused = true
        return nil
    }

    func commit(_ count: Int, _ header: VirtioNetHeader) {
        _ = output.commit(count, header)
    }

    func flush(now: Instant) {
        guard isDraining, !isClosed else { return }
        let format = output.format
        do throws(SystemError) {
            try output.drain { (queued) throws(SystemError) in
                split(queued, format)
                return queued.count
            }
        } catch {
            fatalError("nothing was called that fails")
        }
        guard hasRefused, output.hasRoom else { return }
        hasRefused = false
        receiver?.hasRoom(self, now: now)
    }

    private func split(_ queued: UnsafeRawBufferPointer, _ format: StreamFormat) {
        var start = 0
        let prefix = format.prefixLength
        while let length = format.frameLength(queued.bytes, at: start) {
            mustHold(start + prefix + length <= queued.count, "a frame is cut")
            var header = VirtioNetHeader.finished
            if receivesOffloadHeaders {
                let octets = UnsafeRawBufferPointer(
                    rebasing: queued[(start + 4)..<(start + prefix)]
                )
                do {
                    header = try VirtioNetHeader(reading: octets.bytes)
                } catch {
                    fatalError("the header was sliced to its length")
                }
            }
            start += prefix
            sent(UnsafeRawBufferPointer(rebasing: queued[start..<(start + length)]), header)
            start += length
        }
    }

    func close() {
        isClosed = true
    }
}
