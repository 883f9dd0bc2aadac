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

/// Every number of a host end in `/stats` and `/metrics`.
struct NetworkStatistics {
    private static let buildInfo = MetricFamily(
        "BuildInfo",
        metric: "build_info",
        kind: .gauge,
        label: "version",
        "Always 1; the label is the version of rdnet."
    )

    var link = LinkCounters()
    var drops = DropCounters()
    var ignored = IgnoreCounters()
    var limits = ReasonCounters<Limit>()
    var failures = ReasonCounters<FlowFailure>()
    var tables = EngineGauges()
    var tcp = TCPCounters()
    var forwards = ForwardCounters()
    var listeners = ListenerCounters()
    var dhcp = DHCPServer.Counters()
    var dhcpv6 = DHCPv6Server.Counters()
    var dns = DNSCounters()
    /// The host's resolvers, whose numbers have the server as a label.
    var resolvers: [(name: String, use: ResolverUse)] = []
    var capture = CaptureCounters()

    /// The groups in the order of `/metrics`.
    var groups: [any MetricGroup] {
        [
            link, drops, ignored, limits, failures, tables, tcp, forwards, listeners, dhcp, dhcpv6,
            dns, dns.forwarder, dns.multicast, capture,
        ]
    }

    /// The numbers, and gvproxy's sums of them.
    var statistics: Statistics {
        let version = RoleRegistry.version
        let build = MetricSample(family: Self.buildInfo, member: version, value: 1)
        return Statistics(
            [build] + groups.flatMap { $0.samples } + ResolverUse.samples(of: resolvers),
            sums: [
                ("DroppedPackets", drops.total &+ link.dropped &+ link.malformed),
                ("UnknownProtocolRcvdPackets", drops.count(of: .unknownProtocol)),
                ("MalformedRcvdPackets", drops.count(of: .malformed)),
            ]
        )
    }
}

extension HostNetwork {
    /// Counters of all listeners: for forwards, links and the API.
    var listenerCounters: ListenerCounters { forwards.counters.listeners }

    /// The current numbers.
    var statistics: Statistics {
        NetworkStatistics(
            link: engine.ethernet.counters,
            drops: engine.drops,
            ignored: engine.ignored,
            limits: limits.counters,
            failures: engine.failures.counters,
            tables: EngineGauges(engine),
            tcp: engine.tcp.counters,
            forwards: forwards.counters,
            listeners: listenerCounters,
            dhcp: dhcp.statistics,
            dhcpv6: router?.statistics ?? DHCPv6Server.Counters(),
            dns: dns.counters,
            resolvers: dns.resolverUses(now: loop.now).map { ("\($0.server)", $0.use) },
            capture: capture.counters
        ).statistics
    }
}
