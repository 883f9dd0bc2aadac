/// The content of `/links`: each link with its guests, its age and its counters.
struct LinkReport {
    private let ethernet: VirtualEthernet
    private let guests: [MACAddress: [ObservationAPI.GuestAddress]]
    private let now: Instant

    /// Creates a report.
    ///
    /// - Parameters:
    ///   - engine: The engine with the links.
    ///   - guests: The known addresses of guests.
    init(_ engine: PacketEngine, _ guests: [ObservationAPI.GuestAddress]) {
        ethernet = engine.ethernet
        now = engine.loop.now
        self.guests = Dictionary(grouping: guests, by: \.mac)
    }

    /// The links in the order of attachment, with the MAC addresses learned on each.
    var json: JSON {
        let addresses = Dictionary(grouping: ethernet.addresses, by: \.link)
        return .array(
            ethernet.numbered.map { number, link in
                json(number, link, addresses[number, default: []].map(\.mac))
            }
        )
    }

    private func json(
        _ number: Int,
        _ link: any FrameLink,
        _ stations: [MACAddress]
    ) -> JSON {
        let counters = link.counters
        let numbers = [
            ("framesReceived", counters.framesReceived), ("framesSent", counters.framesSent),
            ("bytesReceived", counters.octetsReceived), ("bytesSent", counters.octetsSent),
            ("malformed", counters.malformed), ("dropped", counters.dropped),
            ("queued", UInt64(link.queuedOctets)),
        ]
        var members = [
            JSON.Member("id", .integer(UInt64(number))),
            JSON.Member("name", .string(link.name)),
            JSON.Member("format", .string(link.format.map { "\($0)" } ?? "frame")),
        ]
        if let history = ethernet.history(of: link) {
            members.append(JSON.Member("age", .seconds(now - history.attached)))
            if let heard = history.heard {
                members.append(JSON.Member("idle", .seconds(now - heard)))
            }
        }
        return .object(
            members + numbers.map { JSON.Member($0, .integer($1)) }
                + [
                    JSON.Member("addresses", .array(stations.map { .string("\($0)") })),
                    JSON.Member("guests", .array(stations.map(guest))),
                    JSON.Member("offload", .bool(link.receivesOffloadHeaders)),
                ]
        )
    }

    private func guest(_ mac: MACAddress) -> JSON {
        let known = guests[mac] ?? []
        var members = [
            JSON.Member("mac", .string("\(mac)")),
            JSON.Member("addresses", .array(known.map { .string("\($0.address)") })),
        ]
        if let name = known.compactMap(\.name).first {
            members.append(JSON.Member("name", .string(name)))
        }
        return .object(members)
    }
}
