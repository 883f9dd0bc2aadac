/// A human-readable number of bytes in gvproxy's form: `82 B`, `1.5 kB`, `83 MB`.
struct OctetCount: CustomStringConvertible {
    private static let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]

    /// The number and its unit, a power of 1000.
    let description: String

    init(_ octets: UInt64) {
        var divisor: UInt64 = 1
        var power = 0
        while octets / divisor >= 1_000 {
            divisor *= 1_000
            power += 1
        }
        guard power > 0 else {
            description = "\(octets) B"
            return
        }
        let tenths = (octets / (divisor / 100) + 5) / 10
        let whole = (octets / (divisor / 10) + 5) / 10
        let number = tenths < 100 ? "\(tenths / 10).\(tenths % 10)" : "\(whole)"
        description = "\(number) \(Self.units[power])"
    }
}
