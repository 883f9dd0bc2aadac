/// When a link was attached, and when its latest frame arrived.
struct LinkHistory {
    let attached: Instant
    /// Nil before the first frame.
    private(set) var heard: Instant?
    private var frames: UInt64 = 0

    init(attached: Instant) {
        self.attached = attached
    }

    /// Notes how many frames have arrived until now.
    mutating func heard(_ frames: UInt64, now: Instant) {
        guard frames != self.frames else { return }
        self.frames = frames
        heard = now
    }
}
