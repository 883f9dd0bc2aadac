/// A flow's byte counts and start time.
struct FlowTraffic {
    let start: Instant
    var octetsToHost: UInt64 = 0
    /// For TCP, the bytes that the guest has acknowledged.
    var octetsToGuest: UInt64 = 0
}
