/// What a flow has carried, and since when.
struct FlowTraffic {
    let start: Instant
    var octetsToHost: UInt64 = 0
    var octetsToGuest: UInt64 = 0
}
