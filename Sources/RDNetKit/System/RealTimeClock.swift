internal import CLinux
internal import Glibc

/// The time of day.
enum RealTimeClock {
    /// Seconds since 1970.
    ///
    /// See clock_gettime(2), CLOCK_REALTIME.
    static func seconds() -> Int64 {
        var time = timespec()
        // Cannot fail: the clock exists and the pointer is good.
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec)
    }
}
