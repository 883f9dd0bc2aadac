/// Where a guest's flow leads; decided once for each new flow.
enum Verdict: Equatable {
    /// To the gateway itself.
    case gateway
    /// To an endpoint of the host's network.
    case host(Endpoint)
    /// To an endpoint of the host's network, as long as the guest's bytes name no other server
    /// there than the policy allows.
    case examine(Endpoint)
    /// Not known yet: a person is asked.
    case wait(AwaitedVerdict)
    /// Nowhere; the guest gets an error.
    case refuse(DropReason)
    /// Nowhere; the packet is dropped without an answer.
    case drop(DropReason)
}

/// The answer that a flow waits for.
final class AwaitedVerdict: Equatable {
    /// Called once, with any other verdict than `wait`.
    var arrived: (Verdict) -> Void = { _ in }

    static func == (one: AwaitedVerdict, other: AwaitedVerdict) -> Bool { one === other }
}

/// What a policy knows of the server that a flow leads to.
final class ServerIdentity {
    /// The names that the guest had resolved to the server's address when the flow began.
    let names: [NamePins.Name]
    /// What the guest's own bytes have named.
    var shown = ShownName.unknown

    init(names: [NamePins.Name]) {
        self.names = names
    }

    /// The name to show to people.
    var name: String? {
        if case .name(let name) = shown { name } else { names.last?.text }
    }
}
