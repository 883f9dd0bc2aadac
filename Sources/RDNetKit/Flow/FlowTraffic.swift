/// A flow that is over, for those who keep records.
struct EndedFlow {
    var transport: UInt8
    var guest: Endpoint
    /// As the guest saw it; nil for a flow that may have had several destinations.
    var remote: Endpoint?
    /// The server's name, as far as it was known.
    var name: String?
    var traffic: FlowTraffic
}

/// A flow's byte counts and start time.
struct FlowTraffic {
    let start: Instant
    var octetsToHost: UInt64 = 0
    /// For TCP, the bytes that the guest has acknowledged.
    var octetsToGuest: UInt64 = 0
}
