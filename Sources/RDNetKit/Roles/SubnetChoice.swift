/// Chooses a virtual subnet that does not hide any of the host's networks.
///
/// A guest treats every address of its own subnet as a neighbor, so it cannot reach a host network
/// that overlaps the subnet.
enum SubnetChoice {
    /// Routes with a shorter prefix count as default routes, for example a VPN's 0.0.0.0/1.
    private static let shortestPrefix = 8

    /// The usual subnet first, then similar ones in each private range (RFC 1918, 3).
    static let candidates: [Subnet] =
        [.standard]
        + (96...126).reversed().compactMap { Subnet("192.168.\($0).0/24") }
        + (16...31).reversed().compactMap { Subnet("172.\($0).127.0/24") }
        + (96...127).reversed().compactMap { Subnet("10.\($0).127.0/24") }

    /// Changes a network's subnet if a host route overlaps it, or logs a warning if the subnet is
    /// fixed or no candidate is free.
    static func settle(_ settings: inout NetworkSettings, _ log: Logger) {
        let routes = hostRoutes(log)
        guard let route = routes.first(where: { $0.overlaps(settings.subnet) }) else { return }
        if settings.canMove, let free = free(beside: routes) {
            settings.subnet = free
            return log.warning(
                "the usual subnet is in use on the host; using another",
                ["subnet": "\(free)", "route": "\(route)"]
            )
        }
        log.warning(
            "subnet hides a host network",
            ["route": "\(route)", "subnet": "\(settings.subnet)"]
        )
    }

    /// Returns the first candidate that no route overlaps; nil if there is none.
    static func free(beside routes: [Subnet]) -> Subnet? {
        candidates.first { candidate in !routes.contains { $0.overlaps(candidate) } }
    }

    private static func hostRoutes(_ log: Logger) -> [Subnet] {
        do {
            var netlink = try Netlink()
            return try netlink.destinations().compactMap { destination in
                guard destination.prefixLength >= shortestPrefix else { return nil }
                // The limit is a subnet's maximum prefix length; the shortened route overlaps the
                // same candidates.
                return Subnet(
                    address: destination.address,
                    prefixLength: min(destination.prefixLength, 30)
                )
            }
        } catch {
            log.warning("cannot read the host's routes", ["cause": "\(error)"])
            return []
        }
    }
}
