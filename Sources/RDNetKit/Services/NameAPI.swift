/// The API's DNS zones; clients can add zones while the program runs.
struct NameAPI {
    let dns: DNSService
    let loop: EventLoop

    /// The routes that gvproxy does not have.
    var ownRoutes: [HTTPRoute] {
        [
            HTTPRoute("/dns") { _, _ in
                let uses = dns.resolverUses(now: loop.now)
                return .json(.array(uses.map { $0.use.json($0.server, now: loop.now) }))
            }
        ]
    }

    var routes: [HTTPRoute] {
        [
            HTTPRoute("/services/dns/all") { _, _ in .json(.array(dns.zones.all.map(\.json))) },
            HTTPRoute(posting: "/services/dns/add", { try DNSZone(reading: $0) }) { zone, _ in
                dns.zones.add(zone) ? .empty : .error(500, DNSZones.fullSentence)
            },
        ]
    }
}
