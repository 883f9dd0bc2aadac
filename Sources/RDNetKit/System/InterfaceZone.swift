internal import CLinux
internal import Glibc

extension ZonedEndpoint {
    /// Resolves the zone to the interface's current index, as the kernel requires.
    ///
    /// A name takes precedence over a number, as in getaddrinfo(3). The kernel needs no zone for an
    /// address that is not link-local, so an unknown zone is dropped there. See if_nametoindex(3),
    /// ipv6(7).
    ///
    /// - Throws: `SystemError` with ENODEV if a link-local address is on an interface that does not
    ///   exist.
    func resolved() throws(SystemError) -> Endpoint {
        guard !zone.isEmpty else { return endpoint }
        var resolved = endpoint
        resolved.scope = if_nametoindex(zone)
        if resolved.scope == 0, zone.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            resolved.scope = UInt32(zone) ?? 0
        }
        guard resolved.scope != 0 || !endpoint.address.isLinkLocal else {
            throw SystemError(call: "if_nametoindex \(zone)", errno: ENODEV)
        }
        return resolved
    }
}
