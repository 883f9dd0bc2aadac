/// The API's forwards, with gvproxy's paths, codes and texts.
struct ForwardingAPI {
    private static let expose = JSONRecord(
        name: "ExposeRequest",
        fields: [
            ("local", "string"), ("remote", "string"), ("protocol", "types.TransportProtocol"),
        ]
    )
    private static let unexpose = JSONRecord(
        name: "UnexposeRequest",
        fields: [("local", "string"), ("protocol", "types.TransportProtocol")]
    )

    let forwards: any ForwardAccess

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
