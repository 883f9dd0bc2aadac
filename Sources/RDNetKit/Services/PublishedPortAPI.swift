/// The part of the API that `wsl-proxy` has: a port that stays open as long as the client's
/// connection, for `port-proxy` in the containers' namespace.
struct PublishedPortAPI {
    let ports: PublishedPorts
    let publishers: PortPublishers
    let loop: EventLoop
    /// The destination of every port, with the port's own number.
    let upstream: IPAddress

    var routes: [HTTPRoute] {
        [
            HTTPRoute(
                posting: ForwardingAPI.holdPath,
                ForwardingAPI.expose.read,
                deciding: { fields, _ in
                    do throws(ForwardError) {
                        return try hold(
                            fields["protocol", default: ""],
                            local: fields["local", default: ""]
                        )
                    } catch {
                        return .response(.error(error.status, error.description))
                    }
                }
            )
        ]
    }

    /// Opens a port.
    ///
    /// The client's `remote` is behind the upstream address, which has no other way to it than a
    /// listener on the same port.
    private func hold(_ name: String, local: String) throws(ForwardError) -> HTTPOutcome {
        let transport = ForwardProtocol(rawValue: name.isEmpty ? "tcp" : name)
        guard let transport, transport != .unix else { throw .unknownProtocol(name) }
        let endpoint = try ForwardAddress.local(local, transport).endpoint.endpoint
        guard endpoint.port > 0 else { throw .badLocal("\(local): expected a port of its own") }
        guard endpoint.address.isUnspecified else {
            throw .forbidden(
                "wsl-proxy leads to \(upstream) and cannot reach \(endpoint); expected 0.0.0.0 or ::"
            )
        }
        let port = PublishedPorts.Port(transport: transport, number: endpoint.port)
        let holder = publishers.makePublisher()
        do throws(PublishedPorts.HoldError) {
            try ports.hold(port, for: holder)
        } catch {
            switch error {
            case .refused(let error):
                throw .refused(network: transport.rawValue, address: "\(endpoint)", error)
            case .tooMany: throw .tooMany(limit: PublishedPorts.maximumBindings)
            }
        }
        return .handover(saying: ForwardingAPI.holding(["\(endpoint)"])) { stream in
            do {
                try HeldForward(by: stream, loop: loop) { ports.release(holder) }
            } catch {
                ports.release(holder)
            }
        }
    }
}
