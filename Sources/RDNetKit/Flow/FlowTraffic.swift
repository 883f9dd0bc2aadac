/// What a flow has carried, and since when.
struct FlowTraffic {
    let start: Instant
    var octetsToHost: UInt64 = 0
    /// Of a TCP flow those that the guest has acknowledged.
    var octetsToGuest: UInt64 = 0
}
