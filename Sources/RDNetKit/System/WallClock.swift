internal import CLinux
internal import Glibc

/// The system's real-time clock.
enum WallClock {
    /// Microseconds since 1970.
    ///
    /// See clock_gettime(2), CLOCK_REALTIME.
    static func microseconds() -> Int64 {
        var time = timespec()
        // Cannot fail: the clock exists and the pointer is valid.
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
    }

    /// The time of day and the local zone's offset.
    ///
    /// See clock_gettime(2), localtime_r(3).
    static func now() -> WallTime {
        var time = timespec()
        // Cannot fail: the clock exists and the pointer is valid.
        clock_gettime(CLOCK_REALTIME, &time)
        var seconds = time.tv_sec
        var local = tm()
        // Sound: both pointers are valid during the call. It fails only for years beyond 2^31; then
        // UTC is used.
        guard localtime_r(&seconds, &local) != nil else {
            return WallTime(seconds: Int64(seconds), utcOffset: 0)
        }
        return WallTime(seconds: Int64(seconds), utcOffset: Int64(local.tm_gmtoff))
    }
}
