/// One port, or a range of ports that follow each other: `80`, `10000-10100`.
struct PortRange: Hashable, Sendable, CustomStringConvertible {
    let first: UInt16
    let last: UInt16

    init(_ first: UInt16, through last: UInt16) {
        precondition(first <= last, "a range has its smaller port first")
        self.first = first
        self.last = last
    }

    /// Parses `80` or `10000-10100`, ports from 1 to 65535.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = Self.port(parts[0]),
            let last = Self.port(parts[parts.count - 1]), first <= last
        else { return nil }
        self.init(first, through: last)
    }

    private static func port(_ text: some StringProtocol) -> UInt16? {
        text.decimal(upTo: 65_535).flatMap { $0 == 0 ? nil : UInt16(truncatingIfNeeded: $0) }
    }

    /// Every port.
    static let all = PortRange(1, through: UInt16.max)

    var count: Int { Int(last) - Int(first) + 1 }

    func contains(_ port: UInt16) -> Bool { (first...last).contains(port) }

    var description: String { first == last ? "\(first)" : "\(first)-\(last)" }
}

/// Ports of the host that lead to ports of a guest: `127.0.0.1:8080=192.168.127.2:80`,
/// `10000-10100/udp`.
struct PortForward: Hashable, Sendable, CustomStringConvertible {
    /// One side: an address, which may be left out, and its ports.
    struct Side: Hashable, Sendable, CustomStringConvertible {
        /// Nil for the side's usual one.
        var address: IPAddress?
        var ports: PortRange

        /// A side with its usual address.
        init(ports: PortRange) {
            self.ports = ports
        }

        /// Parses `[ADDRESS:]PORTS`; `localhost` is 127.0.0.1.
        init?(_ text: some StringProtocol) {
            let text = String(text)
            guard let colon = text.lastIndex(of: ":") else {
                guard let ports = PortRange(text) else { return nil }
                self.ports = ports
                return
            }
            let host = text[..<colon] == "localhost" ? "127.0.0.1" : text[..<colon]
            let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
            guard let ports = PortRange(text[text.index(after: colon)...]),
                let address = IPAddress(isBracketed ? host.dropFirst().dropLast() : host),
                isBracketed == host.contains(":")
            else { return nil }
            self.address = address
            self.ports = ports
        }

        var description: String { address.map { text(with: $0) } ?? "\(ports)" }

        /// The side as the forwarding API takes it.
        func text(with usual: IPAddress) -> String {
            let host = Endpoint(address: address ?? usual, port: 0).description.dropLast(1)
            return "\(host)\(ports)"
        }
    }

    /// Where the host listens; 127.0.0.1 where no address is given.
    let host: Side
    /// Where the guest listens; nil for the usual guest and the host's ports.
    let guest: Side?
    let isUDP: Bool

    /// Parses `[HOST:]PORTS[=[GUEST:]PORTS][/tcp|/udp]`, with as many ports on either side, and
    /// docker's `[HOST:]PORTS:PORTS[/tcp|/udp]`.
    init?(_ text: some StringProtocol) {
        let suffixed = text.split(separator: "/", omittingEmptySubsequences: false)
        guard suffixed.count == 1 || suffixed.count == 2 && ["tcp", "udp"].contains(suffixed[1])
        else { return nil }
        let sides = suffixed[0].split(separator: "=", omittingEmptySubsequences: false)
        isUDP = suffixed.last == "udp"
        if sides.count == 1, let host = Side(sides[0]) {
            (self.host, guest) = (host, nil)
            return
        }
        guard let pair = sides.count == 1 ? Self.dockerSides(sides[0]) : Self.sides(sides),
            pair.host.ports.count == pair.guest.ports.count
        else { return nil }
        (host, guest) = pair
    }

    private static func sides(_ texts: [some StringProtocol]) -> (host: Side, guest: Side)? {
        guard texts.count == 2, let host = Side(texts[0]), let guest = Side(texts[1]) else {
            return nil
        }
        return (host, guest)
    }

    /// Parses `[HOST:]PORTS:PORTS`, where the ports after the last colon are the usual guest's.
    private static func dockerSides(_ text: some StringProtocol) -> (host: Side, guest: Side)? {
        guard let colon = text.lastIndex(of: ":"),
            let guest = PortRange(text[text.index(after: colon)...]),
            let host = Side(text[..<colon])
        else { return nil }
        return (host, Side(ports: guest))
    }

    /// The name of the transport in the forwarding API.
    var transport: String { isUDP ? "udp" : "tcp" }

    /// The host's side as the forwarding API takes it.
    var local: String { host.text(with: .loopbackIPv4) }

    /// The guest's side as the forwarding API takes it.
    ///
    /// - Parameter usualGuest: The guest where the forward names none.
    /// - Returns: `192.168.127.2:20000-20100`.
    func remote(usualGuest: IPAddress) -> String { (guest ?? ports).text(with: usualGuest) }

    private var ports: Side {
        var side = host
        side.address = nil
        return side
    }

    /// Whether it takes the place of another one, for the same host address and ports.
    func replaces(_ other: PortForward) -> Bool {
        isUDP == other.isUDP && local == other.local
    }

    var description: String {
        "\(host)" + (guest.map { "=\($0)" } ?? "") + (isUDP ? "/udp" : "")
    }
}

extension ValueSyntax where Value == PortForward {
    /// Published ports.
    static let portForward = ValueSyntax(
        placeholder: "HOST:PORTS=GUEST:PORTS",
        expected: """
            HOST:PORTS=GUEST:PORTS[/udp] with literal addresses or localhost, and one port or a range of \
            the same length on either side, such as 127.0.0.1:8080=192.168.127.2:80 or 10000-10100/udp; \
            or, as in docker, [HOST:]PORTS:PORTS[/udp], such as 8080:80
            """,
        parse: { PortForward($0) },
        text: { $0.description }
    )
}

/// A reserved address: `5a:94:ef:e4:0c:ee=192.168.127.2`.
struct StaticLease: Hashable, Sendable, CustomStringConvertible {
    let mac: MACAddress
    /// IPv4.
    let address: IPAddress

    init(mac: MACAddress, address: IPAddress) {
        self.mac = mac
        self.address = address
    }

    /// Parses `MAC=IP`.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let mac = MACAddress(parts[0]), !mac.isGroup,
            let address = IPAddress(parts[1]), address.isIPv4
        else { return nil }
        self.init(mac: mac, address: address)
    }

    var description: String { "\(mac)=\(address)" }
}

extension ValueSyntax where Value == StaticLease {
    /// A guest's fixed address.
    static let staticLease = ValueSyntax(
        placeholder: "MAC=IP",
        expected: "MAC=IP with an IPv4 address, such as 5a:94:ef:e4:0c:ee=192.168.127.2",
        parse: { StaticLease($0) },
        text: { $0.description }
    )
}

extension ValueSyntax where Value == ZonedEndpoint {
    /// A DNS server; port 53 by default.
    static let nameServer = ValueSyntax(
        placeholder: "ADDRESS[:PORT]",
        expected:
            "a literal address with or without a port, such as 9.9.9.9, fe80::1%eth0 or [2620:fe::fe]:53",
        parse: { text in
            ZonedEndpoint(address: text, port: 53) ?? ZonedEndpoint(text)
        },
        text: { $0.description }
    )
}
