/// Collects frames as the records of a capture file that Wireshark opens.
///
/// A super-frame is recorded whole, with its checksum completed, so that no analyzer reports it as
/// damaged. Records collect in memory; they are passed on 64 KiB at a time, after every turn of the
/// loop, and when the capture ends.
final class FrameCapture {
    private static let flushThreshold = 1 << 16

    private let write: ([UInt8], _ frames: Int) -> Void
    /// Whether a frame is wanted; it is recorded then.
    private let takes: (Frame) -> Bool
    private let wallClock: () -> Int64
    private var buffer: [UInt8] = []
    /// The number of frames in the buffer.
    private var frames = 0

    /// Creates a capture.
    ///
    /// - Parameters:
    /// - wallClock: Returns microseconds since 1970.
    /// - takes: Called for each frame; returns whether to record it.
    /// - write: Receives the records of a number of frames.
    init(
        wallClock: @escaping () -> Int64,
        taking takes: @escaping (Frame) -> Bool = { _ in true },
        write: @escaping ([UInt8], _ frames: Int) -> Void
    ) {
        self.wallClock = wallClock
        self.takes = takes
        self.write = write
    }

    deinit {
        flush()
    }

    /// Records one frame.
    func record(_ frame: Frame) {
        guard takes(frame) else { return }
        buffer += CaptureFile.recordHeader(microseconds: wallClock(), length: frame.octets.count)
        frame.appendFinished(to: &buffer)
        frames += 1
        if buffer.count >= Self.flushThreshold { flush() }
    }

    /// Writes the collected records.
    func flush() {
        guard !buffer.isEmpty else { return }
        write(buffer, frames)
        buffer.removeAll(keepingCapacity: true)
        frames = 0
    }
}

extension Frame {
    /// Appends the frame with its checksum completed.
    func appendFinished(to buffer: inout [UInt8]) {
        let start = buffer.count
        buffer += octets
        guard header.needsChecksum else { return }
        // Sound: only the bytes just appended are lent.
        buffer.withUnsafeMutableBytes { octets in
            let copy = UnsafeMutableRawBufferPointer(rebasing: octets[start...])
            _ = FrameChecksum.complete(copy, header)
        }
    }
}
