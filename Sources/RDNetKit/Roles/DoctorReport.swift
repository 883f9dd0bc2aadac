/// What the API's documents mean for somebody whose network does not work.
enum DoctorReport {
    /// The outcome of a query to a resolver.
    enum Probe: Equatable {
        case answered(Duration)
        case failed(String)
    }

    /// The age in seconds beyond which a failure is history.
    private static let recently = 300.0

    static func unreachable(_ error: APIFailure) -> Finding {
        if case .unknownPath = error {
            return .failure(
                "host end",
                "\(error)",
                next: "only rdnet's host end of the same version can be examined"
            )
        }
        return .failure(
            "host end",
            "\(error)",
            next: "check that the host end runs, and that --api has its address"
        )
    }

    static func hostEnd(_ health: JSON, at address: String) -> Finding {
        let version = health.text("version")
        let network = "network \(health.text("subnet")), gateway \(health.text("gateway"))"
        let text = "rdnet \(version) at \(address), pid \(health.text("pid")), \(network)"
        guard version == RoleRegistry.version else {
            return .warning(
                "host end",
                "\(text); this is rdnet \(RoleRegistry.version)",
                next: "run the same version at both ends"
            )
        }
        return .ok("host end", text)
    }

    static func routes(_ health: JSON) -> [Finding] {
        let ipv4 =
            health.member("hasRouteIPv4") == .bool(true)
            ? Finding.ok("route", "the host has an IPv4 default route")
            : .failure(
                "route",
                "the host has no IPv4 default route",
                next: "connect the host or its VPN: ip route"
            )
        guard health.member("ipv6") != nil else {
            return [ipv4, .ok("route IPv6", "IPv6 is off in this network")]
        }
        let hasIPv6 = health.member("hasRouteIPv6") == .bool(true)
        return [
            ipv4,
            .ok(
                "route IPv6",
                hasIPv6
                    ? "the host has an IPv6 default route"
                    : "the host has no IPv6 default route, so guests use IPv4"
            ),
        ]
    }

    static func mtu(_ health: JSON, uplink: (name: String, mtu: Int)?) -> Finding {
        let own = Int(health.text("mtu")) ?? 0
        guard let uplink else { return .ok("MTU", "\(own) in the network") }
        let text = "\(own) in the network, \(uplink.mtu) at the host's \(uplink.name)"
        // TCP ends at the gateway, so only datagrams meet the smaller one.
        return .ok(
            "MTU",
            uplink.mtu < own ? text + "; guests learn of the smaller one by ICMP" : text
        )
    }

    static func links(_ links: JSON) -> [Finding] {
        guard !links.elements.isEmpty else {
            return [
                .failure(
                    "links",
                    "no guest is connected",
                    next: "start the guest end, and compare its --link with the host end's"
                )
            ]
        }
        return links.elements.map(link)
    }

    private static func link(_ link: JSON) -> Finding {
        let subject = "link \(link.text("id"))"
        let (received, sent) = (link.text("framesReceived"), link.text("framesSent"))
        let frames =
            link.member("offload") == .bool(true)
            ? "frames with offloads" : "\(link.text("format")) frames without offloads"
        let text = "\(link.text("name")): \(frames), \(received) in, \(sent) out"
        if received == "0" {
            return .failure(
                subject,
                "\(text); nothing has arrived from the guest",
                next: "check that both ends use the same kind of link, and the guest's interface"
            )
        }
        let malformed = link.text("malformed")
        if malformed != "0", !malformed.isEmpty {
            return .warning(
                subject,
                "\(text), \(malformed) malformed",
                next: "check that both ends use the same kind of link"
            )
        }
        let dropped = Double(link.text("dropped")) ?? 0
        if dropped > 0, dropped * 100 > Double(sent) ?? 0 {
            return .warning(
                subject,
                "\(text), \(link.text("dropped")) dropped",
                next: "the guest reads too slowly: check its load"
            )
        }
        return .ok(subject, text)
    }

    /// The addresses of the guests that are connected; others may have reserved ones.
    static func leases(_ leases: JSON, on links: JSON, hasIPv6: Bool) -> [Finding] {
        let present = links.elements.flatMap { $0.member("addresses")?.elements ?? [] }
        guard !present.isEmpty else { return [] }
        let addresses = leases.elements
            .filter { lease in present.contains { $0.text == lease.text("mac") } }
            .map { $0.text("address") }
        let ipv4 = addresses.filter { !$0.contains(":") }
        let ipv6 = addresses.filter { $0.contains(":") }
        var findings = [
            ipv4.isEmpty
                ? Finding.failure(
                    "leases",
                    "no connected guest has an IPv4 address",
                    next: "run a DHCP client in the guest; vm-switch is one: see its log"
                ) : .ok("leases", ipv4.joined(separator: ", "))
        ]
        if hasIPv6 {
            let text = ipv6.isEmpty ? "no guest uses IPv6" : ipv6.joined(separator: ", ")
            findings.append(.ok("leases IPv6", text))
        }
        return findings
    }

    static func resolvers(_ servers: JSON, _ probe: (String) -> Probe?) -> [Finding] {
        guard !servers.elements.isEmpty else {
            return [
                .failure(
                    "DNS",
                    "the host has no DNS server",
                    next: "add a nameserver to its resolv.conf, or use --dns-server"
                )
            ]
        }
        return servers.elements.map { resolver($0, probe($0.text("server"))) }
    }

    private static func resolver(_ server: JSON, _ probe: Probe?) -> Finding {
        let name = server.text("server")
        let queries = server.text("queries")
        let counts =
            queries == "0"
            ? "no guest needed it yet" : "\(server.text("answers")) of \(queries) queries answered"
        let next = "check the VPN and the host's resolv.conf, or use --dns-server"
        switch probe {
        case .failed(let reason):
            return .failure("DNS", "\(name): \(reason); \(counts)", next: next)
        case .answered(let time):
            let microseconds = "\(max(time.wholeNanoseconds, 0) / 1_000)"
            let text = "\(name) answers in \(CtlReport.milliseconds(microseconds)); \(counts)"
            guard let failures = Double(server.text("failures")), failures > 0,
                failures * 2 > Double(server.text("answers")) ?? 0
            else { return .ok("DNS", text) }
            return .warning(
                "DNS",
                "\(text), \(server.text("failures")) of them failures",
                next: "ask it by hand: dig @\(name.split(separator: ":").first ?? "") NAME"
            )
        case .none:
            let state = server.text("state")
            let isBad = state == "down" || state == "silent"
            let cause = server.text("fault")
            return isBad
                ? .failure("DNS", "\(name) is \(state) \(cause); \(counts)", next: next)
                : .ok("DNS", "\(name) is \(state); \(counts)")
        }
    }

    static func forwards(_ forwards: JSON) -> [Finding] {
        guard !forwards.elements.isEmpty else { return [.ok("forwards", "none")] }
        return forwards.elements.map { forward in
            let text = "\(forward.text("local")) to \(forward.text("remote"))"
            let result = forward.text("lastResult")
            if forward.member("age") == nil, forward.text("protocol") != "unix" {
                return .failure(
                    "forward",
                    "\(text): its address cannot be opened",
                    next: "end the program that uses it: ss -lntup"
                )
            }
            guard !result.isEmpty, result != "connected" else {
                return .ok("forward", "\(text), \(forward.text("connections")) clients")
            }
            return .warning(
                "forward",
                "\(text): the guest's last answer was \"\(result)\"",
                next: FlowFailure.guestRefused.nextStep
            )
        }
    }

    static func failures(_ failures: JSON) -> [Finding] {
        let recent = failures.elements.filter { Double($0.text("age")) ?? 0 < recently }
        guard !recent.isEmpty else {
            return [.ok("failures", "none in the last 5 minutes")]
        }
        var reasons: [String] = []
        for flow in recent where !reasons.contains(flow.text("reason")) {
            reasons.append(flow.text("reason"))
        }
        return reasons.map { reason in
            let flows = recent.filter { $0.text("reason") == reason }
            let count = flows.reduce(0) { $0 + (Int($1.text("count")) ?? 0) }
            let latest = flows.last ?? .null
            let name = latest.text("name")
            let place = latest.text("remote") + (name.isEmpty ? "" : " (\(name))")
            return .warning(
                "failures",
                "\(count) × \(reason.inWords), the latest "
                    + "\(latest.text("protocol")) \(latest.text("guest")) and \(place)",
                next: latest.text("next")
            )
        }
    }

    static func limits(_ statistics: JSON) -> [Finding] {
        let reached = (statistics.member("Limits")?.members ?? []).filter { $0.value.text != "0" }
        return reached.map { limit in
            .warning(
                "limit",
                "\(limit.name.inWords) was reached \(limit.value.text) times",
                next: Limit(rawValue: limit.name).map { "then \($0.effect)" } ?? "see the log"
            )
        }
    }
}
