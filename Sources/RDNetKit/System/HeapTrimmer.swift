internal import CLinux

/// Gives memory back to the system that a burst of work has left behind.
///
/// free(3) keeps what lies below something that is still used: after a thousand stalled uploads
/// that is tens of megabytes, for ever. So a while after something large has ended the heap is
/// looked at, and trimmed if it is worth it. Nothing happens in a process where nothing ends.
final class HeapTrimmer: TimerObserver {
    private static let delay: Duration = .seconds(5)
    /// Octets that may stay: they would soon be asked for again.
    private static let spare = 2 << 20

    private unowned let loop: EventLoop
    private var isDue = false

    /// A trimmer on a loop.
    init(_ loop: EventLoop) {
        self.loop = loop
    }

    /// Something that may have used much memory has ended; called as often as that happens.
    func memoryWasFreed() {
        guard !isDue else { return }
        isDue = true
        _ = loop.schedule(loop.now + Self.delay, observer: self)
    }

    func timerFired(now: Instant) {
        isDue = false
        // See mallinfo(3), fordblks, and malloc_trim(3): it takes a tenth of a millisecond for each
        // megabyte given back.
        guard mallinfo2().fordblks > Self.spare else { return }
        _ = malloc_trim(0)
    }
}
