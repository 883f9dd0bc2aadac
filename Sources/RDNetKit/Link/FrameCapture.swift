/// Frames on their way into a capture file that Wireshark opens.
///
/// A super-frame is recorded whole, with its checksum finished, so that no analyser takes it for
/// damaged. Records collect in memory and are written 64 KiB at a time and when the capture ends.
final class FrameCapture {
    private static let flushThreshold = 1 << 16

    private let write: ([UInt8]) -> Bool
    private let wallClock: () -> Int64
    private var buffer: [UInt8]
    /// Records that could not be written.
    private(set) var lost: UInt64 = 0

    /// Makes a capture.
    ///
    /// - Parameters:
    ///   - continuing: Whether the file has its header already.
    ///   - wallClock: Microseconds since 1970.
    ///   - write: Appends octets to the file; false when it could not.
    init(
        continuing: Bool,
        wallClock: @escaping () -> Int64,
        write: @escaping ([UInt8]) -> Bool
    ) {
        buffer = continuing ? [] : CaptureFile.header()
        self.wallClock = wallClock
        self.write = write
    }

    deinit {
        flush()
    }

    /// Records one frame.
    func record(_ frame: Frame) {
        buffer += CaptureFile.recordHeader(microseconds: wallClock(), length: frame.octets.count)
        let start = buffer.count
        buffer += frame.octets
        if frame.header.needsChecksum {
            // Sound: only the octets that were just appended are lent.
            buffer.withUnsafeMutableBytes { octets in
                let copy = UnsafeMutableRawBufferPointer(rebasing: octets[start...])
                _ = FrameChecksum.complete(copy, frame.header)
            }
        }
        if buffer.count >= Self.flushThreshold { flush() }
    }

    /// Writes what has collected.
    func flush() {
        guard !buffer.isEmpty else { return }
        if !write(buffer) { lost &+= 1 }
        buffer.removeAll(keepingCapacity: true)
    }
}
