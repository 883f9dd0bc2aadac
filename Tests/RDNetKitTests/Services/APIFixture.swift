import CLinux
import Glibc

@testable import RDNetKit

/// An API over an engine with a scripted guest, and over forwards to a recording connector.
final class APIFixture {
    let guest: ScriptedGuest
    let connector = RecordingConnector()
    let forwards: ForwardTable
    let dns: DNSService
    let policy: PolicyKeeper
    let log = Logger.discarding()
    let directory = TemporaryDirectory()
    /// Connections that became links, with the clients' addresses.
    private(set) var links: [(client: StreamClient, peer: Endpoint?)] = []
    private(set) var api: API?

    init() throws {
        guest = try ScriptedGuest()
        forwards = ForwardTable(
            loop: guest.loop,
            connector: connector,
            log: .discarding(),
            ssh: SSHProgram { _ in nil }
        )
        var settings = DNSSettings(hostAlias: ScriptedGuest.hostAlias)
        (settings.hostsPath, settings.resolverPath) = (
            directory.file("hosts"), directory.file("no")
        )
        dns = DNSService(
            loop: guest.loop,
            settings: settings,
            zones: DNSZones(),
            random: SeededRandom(seed: 1),
            log: .discarding()
        )
        policy = PolicyKeeper(PolicySettings(), guest.engine, dns, log: .discarding())
        let path = directory.file("frames.pcap")
        api = API(
            forwarding: ForwardingAPI(forwards: forwards, loop: guest.loop),
            names: NameAPI(dns: dns, loop: guest.loop),
            observation: ObservationAPI(
                leases: {
                    [
                        Self.lease(2, 0x5a94_efe4_0cee), Self.lease(10, 1),
                        Self.lease(1, 0x5a94_efe4_0cdd),
                    ]
                },
                statistics: {
                    let family = MetricFamily("BytesSent", unit: .bytes, "Bytes.")
                    return Statistics([MetricSample(family: family, member: nil, value: 7)])
                },
                engine: guest.engine,
                processUse: ProcessUse(),
                capture: CaptureSwitch(
                    path,
                    ethernet: guest.engine.ethernet,
                    loop: guest.engine.loop,
                    log: .discarding()
                ),
                streams: CaptureStreams(
                    guest.engine.ethernet,
                    counters: CaptureCounters(),
                    loop: guest.engine.loop,
                    application: "rdnet",
                    names: { [] }
                ),
                health: { .object([JSON.Member("version", .string("0"))]) }
            ),
            access: GuestAccessAPI(
                connector: connector,
                call: { [connector] guest, stream, answered in
                    connector.call(guest, stream, answered)
                },
                attach: { [unowned self] stream, peer in
                    links.append((StreamClient(stream), peer))
                }
            ),
            policy: PolicyAPI(
                control: policy,
                wallTime: { WallTime(seconds: $0.nanoseconds / 1_000_000_000, utcOffset: 0) },
                now: { [guest] in guest.loop.now }
            ),
            logLevel: LogLevelAPI(log: log),
            events: EventAPI(
                feed: EventFeed(),
                loop: guest.engine.loop,
                wallTime: { WallTime(seconds: 0, utcOffset: 0) }
            )
        )
    }

    deinit {
        forwards.close()
    }

    private static func lease(_ host: UInt32, _ mac: UInt64) -> ObservationAPI.Lease {
        let address = IPAddress(ipv4: 0xc0a8_7f00 + host)
        return ObservationAPI.Lease(address: address, mac: MACAddress(rawValue: mac))
    }

    var loop: EventLoop { guest.loop }
    var hostRoutes: [HTTPRoute] { api?.hostRoutes ?? [] }
    var serviceRoutes: [HTTPRoute] { api?.serviceRoutes ?? [] }
    var guestRoutes: [HTTPRoute] { guestRoutes(binding: []) }

    /// The routes for guests that may listen only where `--guest-bind` says.
    func guestRoutes(binding texts: [String]) -> [HTTPRoute] {
        let plan = guest.engine.ethernet.plan
        let binds = texts.compactMap { GuestBind($0) }
        return ForwardingAPI(
            forwards: GuestForwards(table: forwards, isGuest: { plan.isGuest($0) }, binds: binds),
            loop: guest.loop
        ).routes
    }

    /// Returns the response to a request that ends in no handover.
    func ask(
        _ method: String,
        _ target: String,
        _ body: String = "",
        from peer: Endpoint? = nil,
        at routes: [HTTPRoute]? = nil
    ) -> HTTPResponse {
        let request = Self.request(method, target, body)
        switch HTTPRouter(routes ?? hostRoutes).decide(request, from: peer) {
        case .response(let response): return response
        case .handover(let octets, _):
            preconditionFailure("\(target) is handed over behind \(octets)")
        }
    }

    /// Returns a response's body as text.
    func text(_ method: String, _ target: String, _ body: String = "") -> String {
        String(decoding: ask(method, target, body).body, as: UTF8.self)
    }

    static func request(_ method: String, _ target: String, _ body: String = "") -> HTTPRequest {
        do {
            let octets = Array("\(method) \(target) HTTP/1.0\r\n\r\n".utf8)
            return HTTPRequest(
                head: try HTTPRequestHead(parsing: octets[...]),
                body: Array(body.utf8)
            )
        } catch {
            preconditionFailure("\(error)")
        }
    }
}
