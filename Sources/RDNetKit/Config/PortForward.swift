/// A host's TCP port that leads to a guest's: `127.0.0.1:8080=192.168.127.2:80`.
struct PortForward: Hashable, Sendable, CustomStringConvertible {
    /// Where the host listens.
    let host: Endpoint
    /// Where the guest is called; IPv4.
    let guest: Endpoint

    /// Parses `HOST:PORT=GUEST:PORT` with literal addresses.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let host = Endpoint(parts[0]), let guest = Endpoint(parts[1]),
            guest.address.isIPv4
        else { return nil }
        self.host = host
        self.guest = guest
    }

    var description: String { "\(host)=\(guest)" }
}

extension ValueSyntax where Value == PortForward {
    /// A published port.
    static let portForward = ValueSyntax(
        placeholder: "HOST:PORT=GUEST:PORT",
        expected: """
            HOST:PORT=GUEST:PORT with literal addresses, the guest's IPv4, such as \
            127.0.0.1:8080=192.168.127.2:80
            """,
        parse: { PortForward($0) },
        text: { $0.description }
    )
}

/// An address that always goes to one guest: `5a:94:ef:e4:0c:ee=192.168.127.2`.
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
    /// A name server: port 53 unless another is given.
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
