@testable import RDNetKit

/// Records what a link delivers.
final class FrameRecorder: FrameReceiver {
    var frames: [(octets: [UInt8], header: VirtioNetHeader)] = []
    var closings: [String] = []
    var roomAgain = 0

    func receive(_ frame: Frame, from link: any FrameLink, now: Instant) {
        frames.append((Array(frame.octets), frame.header))
    }

    func batchEnded(on link: any FrameLink, now: Instant) {}

    func hasRoom(_ link: any FrameLink, now: Instant) {
        roomAgain += 1
    }

    func closed(_ link: any FrameLink, reason: String, now: Instant) {
        closings.append(reason)
    }
}
