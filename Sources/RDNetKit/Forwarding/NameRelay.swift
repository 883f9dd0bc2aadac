/// A resolver on a namespace's 127.0.0.1 and ::1, for programs that find no resolver file there.
///
/// Without `nameserver` lines programs query the local machine (resolv.conf(5)), over UDP and TCP.
/// The relay forwards queries unchanged to one server; descriptors limit the number of concurrent
/// clients.
final class NameRelay {
    private static let port: UInt16 = 53
    private static let descriptors = 512
    /// Limit on the bytes of answers that the kernel queues for one client.
    private static let replyOctets: Int32 = 65_536

    private let connector: RelayConnector
    private var forwards: [any OpenForward]

    /// Creates a relay and starts listening.
    ///
    /// - Parameters:
    ///   - server: The destination of the queries.
    ///   - loop: Keeps the relay alive until the process ends.
    ///   - log: For failed connections, at level debug.
    /// - Throws: `SystemError`: EADDRINUSE if another program already serves names there.
    init(to server: IPAddress, loop: EventLoop, log: Logger) throws(SystemError) {
        connector = RelayConnector(
            loop: loop,
            log: log,
            counters: ForwardCounters(),
            descriptors: Self.descriptors,
            replyOctets: Self.replyOctets
        )
        let remote = Endpoint(address: server, port: Self.port)
        forwards = try Self.listen(at: .loopbackIPv4, to: remote, connector)
        do throws(SystemError) {
            forwards += try Self.listen(at: IPAddress(high: 0, low: 1), to: remote, connector)
        } catch {
            // A kernel without IPv6.
            log.debug("cannot serve DNS on ::1", ["cause": "\(error)"])
        }
    }

    private static func listen(
        at address: IPAddress,
        to remote: Endpoint,
        _ connector: RelayConnector
    ) throws(SystemError) -> [any OpenForward] {
        let local = Endpoint(address: address, port: port)
        return [
            try UDPForward(
                ListeningSocket.udp(local),
                to: remote,
                connector: connector,
                loop: connector.loop,
                counters: connector.counters
            ),
            try TCPForward(
                ListeningSocket.tcp(local),
                to: .tcp(remote),
                connector: connector,
                loop: connector.loop,
                counters: connector.counters
            ),
        ]
    }
}
