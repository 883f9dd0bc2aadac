/// Where a guest's flow leads; decided once for each new flow.
enum Verdict: Equatable {
    /// To the gateway itself.
    case gateway
    /// To an endpoint of the host's network.
    case host(Endpoint)
    /// Nowhere; the guest gets an error.
    case refuse(DropReason)
    /// Nowhere; the packet is dropped without an answer.
    case drop(DropReason)
}
