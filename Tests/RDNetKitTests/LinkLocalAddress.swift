@testable import RDNetKit

extension IPAddress {
    /// The link-local address that Linux forms for an Ethernet interface (RFC 4862, 5.3; RFC 2464,
    /// 4): fe80::5894:efff:fee4:cee for 5a:94:ef:e4:0c:ee.
    static func linkLocal(of mac: MACAddress) -> IPAddress {
        let octets = mac.octets
        let identifier = [octets[0] ^ 2] + octets[1...2] + [0xff, 0xfe] + octets[3...]
        return IPAddress(
            high: 0xfe80 << 48,
            low: identifier.reduce(0) { $0 << 8 | UInt64($1) }
        )
    }
}
