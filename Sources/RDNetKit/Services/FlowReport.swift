/// The content of `/flows`: the number of flows of each kind, and a limited list of them.
struct FlowReport {
    /// Limit on flows of each kind in one report; a longer report would delay everything else.
    static let limit = 1_000

    private let engine: PacketEngine
    private let offset: Int
    private let process: ((TCPFlow) -> String?)?
    private let now: Instant

    /// Creates a report.
    ///
    /// - Parameters:
    ///   - engine: The owner of the flows.
    ///   - offset: The number of flows of each kind in earlier reports; new flows can appear at any
    ///     position.
    ///   - process: Finds processes; nil if neither they nor names and round-trip times are wanted.
    init(_ engine: PacketEngine, skipping offset: Int, _ process: ((TCPFlow) -> String?)?) {
        self.engine = engine
        self.process = process
        self.offset = offset
        now = engine.loop.now
    }

    var json: JSON {
        .object([
            JSON.Member("tcp", .array(page(engine.tcp.all).map(json))),
            JSON.Member("udp", .array(page(engine.udp.all).map(json))),
            JSON.Member("echo", .array(page(engine.echo.all).map(json))),
            JSON.Member(
                "total",
                .object([
                    JSON.Member("tcp", .integer(UInt64(engine.tcp.count))),
                    JSON.Member("udp", .integer(UInt64(engine.udp.count))),
                    JSON.Member("echo", .integer(UInt64(engine.echo.count))),
                ])
            ),
        ])
    }

    private func page<Flow>(_ flows: [Flow]) -> ArraySlice<Flow> {
        flows.dropFirst(offset).prefix(Self.limit)
    }

    private func json(_ flow: TCPFlow) -> JSON {
        .object(
            [
                JSON.Member("guest", .string("\(flow.key.guest)")),
                JSON.Member("remote", .string("\(flow.key.remote)")),
                JSON.Member("phase", .string("\(flow.phase)")),
            ]
                + numbers(flow.traffic, since: flow.lastHeard)
                + [
                    JSON.Member("windowOfGuest", .integer(UInt64(flow.sender.window))),
                    JSON.Member("windowForGuest", .integer(UInt64(flow.receiver.offered))),
                ] + name(flow.server?.name, flow.key.remote.address) + details(flow)
        )
    }

    private func json(_ flow: UDPFlow) -> JSON {
        .object(
            [
                JSON.Member("guest", .string("\(flow.guest)")),
                JSON.Member("remote", remote(flow.lastHost)),
            ] + numbers(flow.traffic, since: flow.lastUsed) + name(nil, flow.lastHost)
        )
    }

    private func json(_ flow: EchoFlow) -> JSON {
        .object(
            [
                JSON.Member("guest", .string("\(flow.key.guest)")),
                JSON.Member("remote", remote(flow.lastHost)),
                JSON.Member("identifier", .integer(UInt64(flow.key.identifier))),
            ] + numbers(flow.traffic, since: flow.lastUsed) + name(nil, flow.lastHost)
        )
    }

    /// Returns the name that a guest resolved to an address, if details are wanted.
    private func name(_ known: String?, _ address: IPAddress?) -> [JSON.Member] {
        guard process != nil, let name = known ?? address.flatMap(engine.failures.name) else {
            return []
        }
        return [JSON.Member("name", .string(name))]
    }

    /// Returns the process and the time to the host's peer and back, if details are wanted.
    private func details(_ flow: TCPFlow) -> [JSON.Member] {
        guard let process else { return [] }
        let name = process(flow).map { JSON.Member("process", .string($0)) }
        let time = flow.hostRoundTrip.map { JSON.Member("roundTripMicroseconds", .integer($0)) }
        return [name, time].compactMap(\.self)
    }

    /// Returns a host's address as guests know it: 127.0.0.1 becomes the host alias.
    private func remote(_ host: IPAddress?) -> JSON {
        guard let host else { return .null }
        return .string("\(host.isLoopback ? engine.plan.hostAlias : host)")
    }

    /// Returns the counters and the ages in seconds.
    private func numbers(_ traffic: FlowTraffic, since lastUse: Instant) -> [JSON.Member] {
        [
            JSON.Member("bytesToHost", .integer(traffic.octetsToHost)),
            JSON.Member("bytesToGuest", .integer(traffic.octetsToGuest)),
            JSON.Member("age", .seconds(now - traffic.start)),
            JSON.Member("idle", .seconds(now - lastUse)),
        ]
    }
}

extension JSON {
    /// Creates a duration in seconds, with milliseconds.
    static func seconds(_ duration: Duration) -> JSON {
        let milliseconds = max(duration.wholeNanoseconds / 1_000_000, 0)
        let fraction = String(1_000 + milliseconds % 1_000).dropFirst()
        return .number("\(milliseconds / 1_000).\(fraction)")
    }
}
