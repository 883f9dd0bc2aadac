/// The API's forwards, with gvproxy's paths, codes and texts.
struct ForwardingAPI {
    static let expose = JSONRecord(
        name: "ExposeRequest",
        fields: [
            ("local", "string"), ("remote", "string"), ("protocol", "types.TransportProtocol"),
        ]
    )
    private static let unexpose = JSONRecord(
        name: "UnexposeRequest",
        fields: [("local", "string"), ("protocol", "types.TransportProtocol")]
    )

    static let holdPath = "/services/forwarder/hold"

    let forwards: any ForwardAccess
    /// Watches the connections that hold forwards.
    let loop: EventLoop

    var routes: [HTTPRoute] {
        [
            HTTPRoute("/services/forwarder/all") { _, _ in .json(list()) },
            HTTPRoute(posting: "/services/forwarder/expose", Self.expose.read) { fields, peer in
                change { () throws(ForwardError) in
                    try forwards.expose(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""],
                        remote: fields["remote", default: ""],
                        client: peer?.address
                    )
                }
            },
            hold,
            HTTPRoute(posting: "/services/forwarder/unexpose", Self.unexpose.read) { fields, _ in
                change { () throws(ForwardError) in
                    try forwards.unexpose(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""]
                    )
                }
            },
        ]
    }

    /// Opens a forward that ends with the client's connection; gvproxy has no such path.
    ///
    /// The response's body has one line for each listening address, and ends with the forward.
    private var hold: HTTPRoute {
        HTTPRoute(
            posting: Self.holdPath,
            Self.expose.read,
            deciding: { fields, peer in
                do throws(ForwardError) {
                    let handle = try forwards.hold(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""],
                        remote: fields["remote", default: ""],
                        client: peer?.address
                    )
                    return .handover(saying: Self.holding(handle.addresses)) { stream in
                        do {
                            let held = try HeldForward(by: stream, loop: loop) {
                                handle.close()
                            }
                            handle.ended = { [weak held] in held?.close() }
                        } catch {
                            // The connection closes with the stream, and the forward with it.
                            handle.close()
                        }
                    }
                } catch {
                    return .response(.error(error.status, error.description))
                }
            }
        )
    }

    /// The response's head, and the part of the body that is known at once.
    static func holding(_ addresses: [String]) -> [UInt8] {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        let lines = addresses.map { $0 + "\n" }.joined()
        return Array((head + "Connection: close\r\n\r\n" + lines).utf8)
    }

    private func list() -> JSON {
        .array(
            forwards.entries.map { entry in
                .object([
                    JSON.Member("local", .string(entry.local)),
                    JSON.Member("remote", .string(entry.remote)),
                    JSON.Member("protocol", .string(entry.transport.rawValue)),
                ])
            }
        )
    }

    private func change(_ body: () throws(ForwardError) -> Void) -> HTTPResponse {
        do {
            try body()
            return .empty
        } catch {
            return .error(error.status, error.description)
        }
    }
}
