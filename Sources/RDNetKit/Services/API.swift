/// The HTTP API: forwards, leases, statistics; paths, codes and texts are gvproxy's.
///
/// The guest may list and change forwards; the rest is for the host alone.
struct API {
    /// A guest's address and the Ethernet address that has it.
    struct Lease {
        var address: IPAddress
        var mac: MACAddress
    }

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

    private let forwards: ForwardTable
    private let leases: () -> [Lease]
    private let statistics: () -> Statistics

    /// Makes an API over what the program has.
    ///
    /// - Parameters:
    ///   - forwards: Listed and changed.
    ///   - leases: Asked for at each request.
    ///   - statistics: Asked for at each request.
    init(
        forwards: ForwardTable,
        leases: @escaping () -> [Lease],
        statistics: @escaping () -> Statistics
    ) {
        self.forwards = forwards
        self.leases = leases
        self.statistics = statistics
    }

    /// What guests may ask on the gateway's port 80.
    var guestRoutes: [HTTPRoute] {
        [
            HTTPRoute("/services/forwarder/all") { _, _ in json(list()) },
            HTTPRoute("/services/forwarder/expose") { request, peer in
                change(request, Self.expose) { fields throws(ForwardError) in
                    try forwards.expose(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""],
                        remote: fields["remote", default: ""],
                        client: peer?.address
                    )
                }
            },
            HTTPRoute("/services/forwarder/unexpose") { request, _ in
                change(request, Self.unexpose) { fields throws(ForwardError) in
                    try forwards.unexpose(
                        fields["protocol", default: ""],
                        local: fields["local", default: ""]
                    )
                }
            },
        ]
    }

    /// What the host may ask.
    var hostRoutes: [HTTPRoute] {
        guestRoutes + [
            HTTPRoute("/services/dhcp/leases") { _, _ in json(leaseTable()) },
            HTTPRoute("/leases") { _, _ in json(leaseTable()) },
            HTTPRoute("/stats") { _, _ in json(statistics().json) },
            HTTPRoute("/metrics") { _, _ in
                .content(
                    Array(statistics().metrics.utf8),
                    type: "text/plain; version=0.0.4; charset=utf-8"
                )
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

    private func leaseTable() -> JSON {
        // Sorted as texts, the order in which Go writes a map.
        .object(
            leases().map { JSON.Member("\($0.address)", .string("\($0.mac)")) }
                .sorted { $0.name < $1.name }
        )
    }

    private func json(_ value: JSON) -> HTTPResponse {
        .content(value.octets + [0x0a])
    }

    private func change(
        _ request: HTTPRequest,
        _ record: JSONRecord,
        _ body: ([String: String]) throws(ForwardError) -> Void
    ) -> HTTPResponse {
        guard request.head.method == "POST" else { return .error(400, "post only") }
        let fields: [String: String]
        do {
            fields = try record.read(JSONParser.parse(request.body))
        } catch {
            return .error(400, error.description)
        }
        do {
            try body(fields)
            return .empty
        } catch {
            return .error(error.isBadRequest ? 400 : 500, error.description)
        }
    }
}
