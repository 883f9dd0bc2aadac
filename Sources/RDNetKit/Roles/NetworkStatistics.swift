/// Sizes of the engine's tables.
struct EngineGauges: MetricGroup {
    var tcpFlows: UInt64 = 0
    var udpFlows: UInt64 = 0
    var echoFlows: UInt64 = 0
    var links: UInt64 = 0

    init() {}

    init(_ engine: PacketEngine) {
        tcpFlows = UInt64(engine.tcp.count)
        udpFlows = UInt64(engine.udp.count)
        echoFlows = UInt64(engine.echo.count)
        links = UInt64(engine.ethernet.attached.count)
    }

    static var metrics: [Metric<EngineGauges>] {
        [
            .gauge(\.tcpFlows, "TCP.Flows", "Connections in the table."),
            .gauge(\.udpFlows, "UDPFlows", "Guest ports with a host socket."),
            .gauge(\.echoFlows, "EchoFlows", "Guests' pings with a host socket."),
            .gauge(\.links, "Links", "Links attached."),
        ]
    }
}

extension HostNetwork {
    private static let buildInfo = MetricFamily(
        "BuildInfo",
        metric: "build_info",
        kind: .gauge,
        label: "version",
        "Always 1; the label is the version of rdnet."
    )

    /// Every group of counters of the host end.
    var counters: [any MetricGroup] {
        let dns = dns.counters
        return [
            engine.ethernet.counters, engine.drops, engine.ignored, limits.counters,
            EngineGauges(engine), engine.tcp.counters, forwards.counters, dhcp.statistics, dns,
            dns.forwarder, dns.multicast, capture.counters,
        ]
    }

    /// The numbers in `/stats` and `/metrics`.
    var statistics: Statistics {
        let version = MetricSample(
            family: Self.buildInfo,
            member: RoleRegistry.version,
            value: 1
        )
        let link = engine.ethernet.counters
        let drops = engine.drops
        return Statistics(
            [version] + counters.flatMap { $0.samples },
            sums: [
                ("DroppedPackets", drops.total &+ link.dropped &+ link.malformed),
                ("UnknownProtocolRcvdPackets", drops.count(of: .unknownProtocol)),
                ("MalformedRcvdPackets", drops.count(of: .malformed)),
            ]
        )
    }
}
