internal import CLinux

/// Returns memory to the system after a burst of work.
///
/// free(3) keeps memory below a block that is still in use: after a thousand stalled uploads, tens
/// of megabytes stay allocated forever. So a few seconds after something large has ended, the
/// trimmer checks the heap and trims it if that is worthwhile. It does no work in a process where
/// nothing ends.
final class HeapTrimmer: TimerObserver {
    private static let delay: Duration = .seconds(5)
    /// Free bytes that may stay, because they would soon be allocated again.
    private static let spare = 2 << 20

    private unowned let loop: EventLoop
    private var isDue = false

    /// Creates a trimmer on a loop.
    init(_ loop: EventLoop) {
        self.loop = loop
    }

    /// Schedules a check after something that may have used much memory has ended; cheap to call.
    func memoryWasFreed() {
        guard !isDue else { return }
        isDue = true
        _ = loop.schedule(loop.now + Self.delay, observer: self)
    }

    func timerFired(now: Instant) {
        isDue = false
        // See mallinfo(3), fordblks, and malloc_trim(3): it takes 0.1 ms for each megabyte
        // returned.
        guard mallinfo2().fordblks > Self.spare else { return }
        _ = malloc_trim(0)
    }
}
