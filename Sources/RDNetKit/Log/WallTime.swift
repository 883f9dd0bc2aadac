/// A wall-clock time with the local zone's offset from UTC.
struct WallTime: Equatable, Sendable {
    /// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
    var seconds: Int64
    /// Seconds to add to UTC for local time; positive in the east.
    var utcOffset: Int64

    /// RFC 3339 without fractions: `2026-11-21T03:04:05+01:00`, with `Z` for UTC.
    var rfc3339: String {
        let local = seconds &+ utcOffset
        let day = local.quotient(roundingDownBy: 86_400)
        let second = local &- day &* 86_400
        let (year, month, dayOfMonth) = Self.civilDate(daysSinceEpoch: day)
        let date = "\(Self.pad(year, 4))-\(Self.pad(month, 2))-\(Self.pad(dayOfMonth, 2))"
        let time = [second / 3600, second / 60 % 60, second % 60].map { Self.pad($0, 2) }
        return date + "T" + time.joined(separator: ":") + zone
    }

    private var zone: String {
        guard utcOffset != 0 else { return "Z" }
        let minutes = utcOffset.magnitude / 60
        let sign = utcOffset < 0 ? "-" : "+"
        return sign + Self.pad(Int64(minutes / 60), 2) + ":" + Self.pad(Int64(minutes % 60), 2)
    }

    /// The proleptic Gregorian date of a day.
    ///
    /// Years start in March, so the leap day is a year's last, in eras of 400 years, which
    /// all have 146,097 days; 719,468 days lie between 0000-03-01 and 1970-01-01.
    private static func civilDate(daysSinceEpoch: Int64) -> (Int64, Int64, Int64) {
        let day = daysSinceEpoch &+ 719_468
        let era = day.quotient(roundingDownBy: 146_097)
        let dayOfEra = day &- era &* 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra &+ era &* 400 &+ (month <= 2 ? 1 : 0)
        return (year, month, dayOfMonth)
    }

    private static func pad(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

extension Int64 {
    /// The quotient rounded toward minus infinity; `divisor` is positive.
    fileprivate func quotient(roundingDownBy divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
