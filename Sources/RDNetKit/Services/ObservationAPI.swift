/// The API's view of what runs: leases, links, flows, numbers; and the capture.
struct ObservationAPI {
    /// A guest's address and the Ethernet address that has it.
    struct Lease {
        var address: IPAddress
        var mac: MACAddress
    }

    /// Asked at each request.
    let leases: () -> [Lease]
    /// Asked at each request.
    let statistics: () -> Statistics
    let engine: PacketEngine
    let capture: CaptureSwitch

    /// gvproxy's own.
    var routes: [HTTPRoute] {
        [
            HTTPRoute("/services/dhcp/leases") { _, _ in .json(leaseTable()) },
            HTTPRoute("/leases") { _, _ in .json(leaseTable()) },
            HTTPRoute("/cam") { _, _ in .json(addressTable()) },
            HTTPRoute("/stats") { _, _ in .json(statistics().json) },
        ]
    }

    /// What gvproxy does not have.
    var ownRoutes: [HTTPRoute] {
        [
            HTTPRoute("/metrics") { _, _ in
                .content(
                    Array(statistics().metrics.utf8),
                    type: "text/plain; version=0.0.4; charset=utf-8"
                )
            },
            HTTPRoute("/links") { _, _ in .json(LinkReport.links(of: engine.ethernet)) },
            HTTPRoute("/flows") { request, _ in flows(URLQuery(request.head.query ?? "")) },
            HTTPRoute("/capture") { _, _ in .json(captureState()) },
            HTTPRoute(posting: "/capture/on") { _, _ in
                do {
                    try capture.start()
                    return .empty
                } catch {
                    return .error(500, "\(capture.path): \(error)")
                }
            },
            HTTPRoute(posting: "/capture/off") { _, _ in
                capture.stop()
                return .empty
            },
        ]
    }

    private func leaseTable() -> JSON {
        .table(leases().map { JSON.Member("\($0.address)", .string("\($0.mac)")) })
    }

    private func addressTable() -> JSON {
        .table(
            engine.ethernet.addresses.map { address in
                JSON.Member("\(address.mac)", .integer(UInt64(address.link)))
            }
        )
    }

    private func flows(_ query: URLQuery) -> HTTPResponse {
        guard let offset = UInt32(query["offset"] ?? "0") else {
            return .error(400, "offset: expected the number of flows to pass over")
        }
        return .json(FlowReport(engine, skipping: Int(offset)).json)
    }

    private func captureState() -> JSON {
        .object([
            JSON.Member("on", .bool(capture.isOn)), JSON.Member("file", .string(capture.path)),
        ])
    }
}

extension JSON {
    /// An object in the order of its members' names as texts, in which Go writes a map.
    static func table(_ members: [Member]) -> JSON {
        .object(members.sorted { $0.name < $1.name })
    }
}
