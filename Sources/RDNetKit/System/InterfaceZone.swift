internal import CLinux
internal import Glibc

extension ZonedEndpoint {
    /// The address as the kernel takes it, with the interface's number of now.
    ///
    /// A name counts before a number, as in getaddrinfo(3). The kernel needs no zone for an address
    /// that is not link-local, so there an unknown one is left out. See if_nametoindex(3), ipv6(7).
    ///
    /// - Throws: `SystemError` with ENODEV when a link-local address is on an interface that does
    ///   not exist.
    func resolved() throws(SystemError) -> Endpoint {
        guard !zone.isEmpty else { return endpoint }
        var resolved = endpoint
        resolved.scope = if_nametoindex(zone)
        if resolved.scope == 0, let number = zone.decimal(upTo: UInt64(UInt32.max)) {
            resolved.scope = UInt32(truncatingIfNeeded: number)
        }
        guard resolved.scope != 0 || !endpoint.address.isLinkLocal else {
            throw SystemError(call: "if_nametoindex \(zone)", errno: ENODEV)
        }
        return resolved
    }
}
