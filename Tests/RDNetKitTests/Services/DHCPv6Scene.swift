import Testing

@testable import RDNetKit

/// A DHCPv6 server that shares its leases with the DHCP server of a `DHCPServerScene`.
final class DHCPv6Scene {
    static let group = "ff02::1:2"
    static let serverIdentifier = "000300015a94efe40cdd"
    /// The identifier that dhclient sent.
    static let clientIdentifier = "00010001329ef9d75a94efe40cee"
    static let stranger = MACAddress(rawValue: 0x0200_0000_0001)

    let four: DHCPServerScene
    var server: DHCPv6Server
    var leased: [String] = []
    /// The names that were sent with leases; `-` for none.
    var named: [String] = []

    init(
        subnet: String = "192.168.127.0/24",
        prefix: String = "fdc0:a87f::/64",
        domains: [String] = ["lan", "corp.example"]
    ) throws {
        four = try DHCPServerScene(subnet: subnet)
        let prefix = try IPv6Prefix(prefix)
        server = DHCPv6Server(
            DHCPv6Server.Configuration(
                prefix: prefix,
                subnet: try #require(Subnet(subnet)),
                gatewayMAC: .standardGateway,
                resolvers: [prefix.address(1)],
                domainSearch: domains
            )
        )
        server.leased = { [unowned self] address, mac in leased.append("\(address) \(mac)") }
        server.named = { [unowned self] address, label in
            let name = label.map { String(decoding: $0, as: UTF8.self) } ?? "-"
            named.append("\(address) \(name)")
        }
    }

    /// Passes the bytes of a message to the server, and describes the answer.
    ///
    /// - Returns: One line for the message and one for each option; nil without an answer.
    func answer(
        to message: [UInt8],
        from mac: MACAddress = DHCPServerScene.guest,
        at destination: String = group
    ) throws -> [String]? {
        let datagram = ServiceDatagram(
            source: Endpoint(address: .linkLocal(of: mac), port: 546),
            destination: Endpoint(address: DHCPServerScene.address(destination), port: 547),
            sourceMAC: mac,
            payload: message
        )
        let reply = server.respond(to: datagram, leasing: &four.server.pool, now: four.now)
        return try reply.map(DHCPv6Text.lines)
    }

    /// Sends a message of hexadecimal options, and describes the answer.
    func answer(
        to type: UInt8,
        _ options: String...,
        from mac: MACAddress = DHCPServerScene.guest
    ) throws -> [String]? {
        try answer(to: [type, 1, 2, 3] + DHCPv6Text.octets(options.joined()), from: mac)
    }

    /// The address that a Solicit with rapid commit gets; nil if it gets none.
    func address(of mac: MACAddress) throws -> String? {
        let lines = try answer(
            to: 1,
            DHCPv6Text.client(),
            DHCPv6Text.rapidCommit,
            DHCPv6Text.addresses(),
            from: mac
        )
        let line = try #require(lines).first { $0.hasPrefix("  address ") }
        return line.map { String($0.split(separator: " ")[1]) }
    }
}

/// A small DHCPv6 codec of its own: hexadecimal options, and answers as text.
enum DHCPv6Text {
    static let rapidCommit = "000e0000"

    static func octets(_ hexadecimal: String) -> [UInt8] {
        let digits = hexadecimal.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count - 1, by: 2).map {
            UInt8(digits[$0] << 4 | digits[$0 + 1])
        }
    }

    static func hexadecimal(_ octets: some Sequence<UInt8>) -> String {
        octets.map { String(Int($0) + 0x100, radix: 16).dropFirst() }.joined()
    }

    static func option(_ code: Int, _ value: String) -> String {
        hexadecimal([UInt8(code >> 8), UInt8(code & 0xff), 0, UInt8(value.count / 2)]) + value
    }

    static func client(_ identifier: String = DHCPv6Scene.clientIdentifier) -> String {
        option(1, identifier)
    }

    static func server(_ identifier: String = DHCPv6Scene.serverIdentifier) -> String {
        option(2, identifier)
    }

    /// IA_NA with number 1, and addresses with lifetimes of 0.
    static func addresses(_ addresses: String..., identifier: String = "00000001") -> String {
        let inner = addresses.map { address in
            let octets = hexadecimal(DHCPServerScene.address(address).octets)
            return option(5, octets + "0000000000000000")
        }
        return option(3, identifier + "0000000000000000" + inner.joined())
    }

    /// Describes a message; a length that contradicts the bytes is an error.
    static func lines(_ octets: [UInt8]) throws -> [String] {
        try #require(octets.count >= 4)
        return ["type \(octets[0]) \(hexadecimal(octets[1..<4]))"] + (try options(octets[4...]))
    }

    private static func options(_ octets: ArraySlice<UInt8>) throws -> [String] {
        var lines: [String] = []
        var rest = octets
        while !rest.isEmpty {
            try #require(rest.count >= 4)
            let code = number(rest.prefix(2))
            let length = number(rest.dropFirst(2).prefix(2))
            rest = rest.dropFirst(4)
            try #require(rest.count >= length)
            lines += try option(code, rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        return lines
    }

    private static func option(_ code: Int, _ value: ArraySlice<UInt8>) throws -> [String] {
        switch code {
        case 3, 25:
            let times =
                "\(number(value.dropFirst(4).prefix(4))) \(number(value.dropFirst(8).prefix(4)))"
            return ["\(code) \(hexadecimal(value.prefix(4))) \(times)"]
                + (try options(value.dropFirst(12))).map { "  " + $0 }
        case 4:
            return ["4 \(hexadecimal(value.prefix(4)))"]
                + (try options(value.dropFirst(4))).map { "  " + $0 }
        case 5:
            let high =
                UInt64(number(value.prefix(4))) << 32 | UInt64(number(value.dropFirst(4).prefix(4)))
            let low =
                UInt64(number(value.dropFirst(8).prefix(4))) << 32
                | UInt64(number(value.dropFirst(12).prefix(4)))
            let times = value.dropFirst(16)
            return [
                "address \(IPAddress(high: high, low: low)) "
                    + "\(number(times.prefix(4))) \(number(times.dropFirst(4).prefix(4)))"
            ]
        case 13: return ["status \(number(value.prefix(2)))"]
        default: return ["\(code) \(hexadecimal(value))"]
        }
    }

    private static func number(_ octets: ArraySlice<UInt8>) -> Int {
        octets.reduce(0) { $0 << 8 | Int($1) }
    }
}
