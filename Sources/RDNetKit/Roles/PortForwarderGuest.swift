/// The VM's side of `port-forwarder`: connects to destinations for the host.
final class PortForwarderGuest: PortForwarder.Side {
    private let relay: RelayConnector
    private let exit: ForwarderExit

    /// Creates the VM's side.
    init(_ surroundings: PortForwarder.Surroundings) {
        relay = RelayConnector(
            loop: surroundings.loop,
            log: surroundings.log,
            counters: ForwardCounters(),
            descriptors: surroundings.descriptors / 2,
            limits: surroundings.limits,
            replyOctets: 1 << 20
        )
        exit = ForwarderExit(
            relay,
            log: surroundings.log,
            descriptors: surroundings.descriptors / 2
        )
    }

    // MARK: Side

    var hasRoom: Bool { exit.hasRoom }
    var traffic: KeyValuePairs<String, String> { ["dropped": "\(relay.counters.datagramsDropped)"] }

    func adopt(
        _ stream: consuming OwnedDescriptor,
        _ side: Multiplexer.Side,
        ended: @escaping (String) -> Void
    ) {
        exit.serve(stream, side, ended: ended)
    }

    func close() {
        exit.close()
        relay.close()
    }
}
