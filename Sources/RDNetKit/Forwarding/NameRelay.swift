/// A resolver on 127.0.0.1 and ::1 of a namespace, for programs that find no resolver file there.
///
/// Without `nameserver` lines programs query this machine (resolv.conf(5)), over UDP and TCP.
/// Queries are relayed to one server as they are, with as many clients at a time as descriptors
/// allow.
final class NameRelay {
    private static let port: UInt16 = 53
    private static let descriptors = 512
    /// Bytes of answers that wait in the kernel for one client.
    private static let replyOctets: Int32 = 65_536

    private let connector: RelayConnector
    private var forwards: [any OpenForward]

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - server: Where the queries go.
    ///   - loop: Keeps the relay until the process ends.
    ///   - log: For failed connections, at level debug.
    /// - Throws: `SystemError`: EADDRINUSE when a program serves names there already.
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
                to: remote,
                connector: connector,
                loop: connector.loop,
                counters: connector.counters
            ),
        ]
    }
}
