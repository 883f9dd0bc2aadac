/// The API's view of the running program: leases, links, flows and counters; and the capture.
struct ObservationAPI {
    /// A guest's IP address and its MAC address.
    struct Lease {
        var address: IPAddress
        var mac: MACAddress
    }

    /// Called for each request.
    let leases: () -> [Lease]
    /// A guest's address of either family.
    struct GuestAddress {
        var address: IPAddress
        var mac: MACAddress
        /// The name that the guest sent; nil for none.
        var name: String?
        /// How long its lease lasts; nil for an address without an end.
        var rest: Duration?
    }

    /// Called for each request.
    let statistics: () -> Statistics
    let engine: PacketEngine
    let processUse: ProcessUse
    let capture: CaptureSwitch
    let streams: CaptureStreams
    /// Called for each request: what only the network itself knows of its state.
    let health: () -> JSON
    /// Called for each request for details; without the gateway, in order of family and address.
    var guestAddresses: () -> [GuestAddress] = { [] }
    /// Called for each connection in a request for details; nil for a process that is not known.
    var process: (TCPFlow) -> String? = { _ in nil }

    /// The routes of gvproxy.
    var routes: [HTTPRoute] {
        [
            HTTPRoute("/services/dhcp/leases") { request, _ in .json(leases(request)) },
            HTTPRoute("/leases") { request, _ in .json(leases(request)) },
            HTTPRoute("/cam") { _, _ in .json(addressTable()) },
            HTTPRoute("/stats") { _, _ in .json(statistics().json) },
        ]
    }

    /// The counters in Prometheus' text format.
    var metrics: HTTPRoute {
        HTTPRoute("/metrics") { _, _ in
            .content(
                Array((statistics().metrics + processUse.metrics).utf8),
                type: "text/plain; version=0.0.4; charset=utf-8"
            )
        }
    }

    /// The routes that gvproxy does not have.
    var ownRoutes: [HTTPRoute] {
        [
            metrics,
            HTTPRoute("/health") { _, _ in .json(health()) },
            HTTPRoute("/links") { _, _ in
                .json(LinkReport(engine, guestAddresses()).json)
            },
            HTTPRoute("/flows/failed") { _, _ in .json(FailureReport(engine: engine).json) },
            HTTPRoute("/flows") { request, _ in flows(URLQuery(request.head.query ?? "")) },
            streams.route,
            HTTPRoute("/capture") { _, _ in .json(captureState()) },
            HTTPRoute(posting: "/capture/on") { request, _ in
                do {
                    try startCapture(request.body)
                    return .empty
                } catch let error as SystemError {
                    return .error(500, "\(error)")
                } catch {
                    return .error(400, "\(error)")
                }
            },
            HTTPRoute(posting: "/capture/off") { _, _ in
                capture.stop()
                return .empty
            },
        ]
    }

    /// gvproxy's table; with `?details=true` the addresses of guests in both families.
    private func leases(_ request: HTTPRequest) -> JSON {
        if URLQuery(request.head.query ?? "")["details"] == "true" {
            return .array(guestAddresses().map(\.json))
        }
        return .table(leases().map { JSON.Member("\($0.address)", .string("\($0.mac)")) })
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
        let hasDetails = query["details"] == "true"
        return .json(FlowReport(engine, skipping: Int(offset), hasDetails ? process : nil).json)
    }

    /// Starts the capture as the body describes it; without a description, it may already run.
    private func startCapture(_ body: [UInt8]) throws {
        let document = body.isEmpty ? .object([]) : try JSONParser.parse(body)
        if document.members.isEmpty { return try capture.start() }
        let wish = try CaptureWish { document.member($0)?.text }
        try capture.start(document.member("file")?.text, wishing: wish)
    }

    private func captureState() -> JSON {
        var members = [
            JSON.Member("on", .bool(capture.isOn)), JSON.Member("file", .string(capture.path)),
            JSON.Member("frames", .integer(capture.written)),
            JSON.Member("lostFrames", .integer(capture.counters.lostFrames)),
        ]
        if let fault = capture.fault { members.append(JSON.Member("fault", .string(fault))) }
        return .object(members)
    }
}

extension ObservationAPI.GuestAddress {
    fileprivate var json: JSON {
        var members = [
            JSON.Member("address", .string("\(address)")), JSON.Member("mac", .string("\(mac)")),
        ]
        if let name { members.append(JSON.Member("name", .string(name))) }
        if let rest {
            let seconds = UInt64(max(rest.components.seconds, 0))
            members.append(JSON.Member("expires", .integer(seconds)))
        }
        return .object(members)
    }
}

extension JSON {
    /// Creates an object with its members in lexical order, as Go writes a map.
    static func table(_ members: [Member]) -> JSON {
        .object(members.sorted { $0.name < $1.name })
    }
}
