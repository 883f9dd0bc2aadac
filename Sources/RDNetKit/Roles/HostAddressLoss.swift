/// Ends what cannot continue when the host loses an address, such as of a VPN or a Wi-Fi network.
///
/// TCP flows with that address are reset, and DNS queries go out again from new sockets. UDP and
/// echo flows need no action: their sockets are not bound to an address.
final class HostAddressLoss {
    /// The relays of other connections on the host; set by `up`.
    weak var relays: RelayConnector?
    private var watch: HostAddressWatch?

    /// Starts to watch the host's addresses; without netlink, logs a warning and watches nothing.
    init(_ engine: PacketEngine, _ dns: DNSService) {
        do {
            watch = try HostAddressWatch(loop: engine.loop) { [unowned self, engine, dns] lost in
                var count = engine.tcp.end(losing: lost, now: engine.loop.now)
                count += relays?.end(losing: lost) ?? 0
                dns.addressesLost()
                engine.log.info(
                    "host addresses lost",
                    ["addresses": "\(lost)", "reset": "\(count)"]
                )
            }
        } catch {
            engine.log.warning("cannot watch the host's addresses", ["cause": "\(error)"])
        }
    }

    /// Stops watching.
    func close() {
        watch?.close()
        watch = nil
    }
}
