/// Where a guest's flow leads; decided once for each new flow.
enum Verdict: Equatable {
    /// To the gateway itself.
    case gateway
    /// To an endpoint of the host's network.
    case host(Endpoint)
    /// Nowhere, and the guest is told so.
    case refuse(DropReason)
    /// Nowhere, without an answer.
    case drop(DropReason)
}
