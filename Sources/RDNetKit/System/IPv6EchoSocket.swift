internal import Glibc

extension Socket {
    /// Creates a socket for IPv6 echo requests: a ping socket, or a raw socket where ping sockets
    /// are forbidden.
    ///
    /// The kernel writes the checksum, and neither kind receives the IP header. See icmp(7),
    /// `ping_group_range`, and ipv6(7).
    static func makeIPv6Echo() throws(SystemError) -> OwnedDescriptor {
        do {
            return try make(AF_INET6, .datagram, Int32(IPPROTO_ICMPV6))
        } catch {
            return try make(AF_INET6, .raw, Int32(IPPROTO_ICMPV6))
        }
    }
}
