/// The input of a udhcpc script: an event as the argument, the message as environment variables.
///
/// Names and formats are busybox's (networking/udhcp/common.c): known options have names, addresses
/// and domains are separated by spaces, and any other option is `optNNN` in hexadecimal.
struct DHCPScriptEnvironment: Equatable {
    /// `deconfig`, `bound`, `renew`, `leasefail` or `nak`.
    let event: String
    /// Names and values in the order of options.
    let values: [(name: String, value: String)]

    static func == (left: Self, right: Self) -> Bool {
        left.event == right.event
            && left.variables(inheriting: []) == right.variables(inheriting: [])
    }

    init(_ change: LeaseChange, interface: String) {
        let interface = [(name: "interface", value: interface)]
        switch change {
        case .lost: (event, values) = ("deconfig", interface)
        case .silence: (event, values) = ("leasefail", interface)
        case .bound(let lease): (event, values) = ("bound", interface + Self.values(lease))
        case .renewed(let lease): (event, values) = ("renew", interface + Self.values(lease))
        case .refused(let message): (event, values) = ("nak", interface + Self.values(message))
        }
    }

    /// Returns the variables as `NAME=value`: the script's own, and the inherited ones with other
    /// names.
    func variables(inheriting environment: [String]) -> [String] {
        let own = values.map { "\($0.name)=\($0.value)" }
        let names = Set(values.map(\.name))
        return own + environment.filter { !names.contains(String($0.prefix { $0 != "=" })) }
    }

    // MARK: The lease

    private static func values(_ lease: DHCPLease) -> [(name: String, value: String)] {
        var values = [
            (name: "ip", value: "\(lease.address)"), (name: "mask", value: "\(lease.prefixLength)"),
        ]
        if lease.message.options[.subnetMask] == nil {
            // Scripts with `set -u` need it even if the server does not send it.
            let mask = UInt32.max << UInt32(32 - lease.prefixLength)
            values.append((name: "subnet", value: "\(IPAddress(ipv4: mask))"))
        }
        if lease.message.options[.leaseTime] == nil {
            let seconds = DHCPLease.assumedDuration.components.seconds
            values.append((name: "lease", value: "\(seconds)"))
        }
        return values + Self.values(lease.message)
    }

    private static func values(_ message: DHCPMessage) -> [(name: String, value: String)] {
        var values: [(name: String, value: String)] = []
        for (name, address) in [("siaddr", message.nextServer), ("giaddr", message.relayAgent)]
        where !address.isUnspecified {
            values.append((name, "\(address)"))
        }
        for (name, text) in [("sname", message.serverName), ("boot_file", message.bootFile)]
        where !text.isEmpty {
            values.append((name, printable(text)))
        }
        for code in message.options.codes {
            let value = message.options[code] ?? []
            values.append(Self.named[code.rawValue]?(value) ?? unknown(code, value))
        }
        return values
    }

    private static func unknown(
        _ code: DHCPOptionCode,
        _ value: [UInt8]
    ) -> (name: String, value: String) {
        ("opt\(code.rawValue)", value.map(\.hexadecimal).joined())
    }

    // MARK: Options by name

    private typealias Form = @Sendable ([UInt8]) -> (name: String, value: String)?

    private static func form(
        _ name: String,
        _ text: @escaping @Sendable ([UInt8]) -> String?
    ) -> Form {
        { value in text(value).map { (name, $0) } }
    }

    /// The options that busybox knows, by code; a value of the wrong length is passed as unknown.
    private static let named: [UInt8: Form] = [
        1: form("subnet", addresses), 3: form("router", addresses), 6: form("dns", addresses),
        7: form("logsrv", addresses), 9: form("lprsrv", addresses), 12: form("hostname", names),
        13: form("bootsize", number), 15: form("domain", names), 16: form("swapsrv", addresses),
        17: form("rootpath", printable), 23: form("ipttl", number), 26: form("mtu", number),
        28: form("broadcast", addresses), 40: form("nisdomain", names),
        41: form("nissrv", addresses), 42: form("ntpsrv", addresses), 44: form("wins", addresses),
        51: form("lease", number), 54: form("serverid", addresses), 56: form("message", printable),
        66: form("tftp", printable), 67: form("bootfile", printable), 119: form("search", domains),
        121: form("staticroutes", routes), 252: form("wpad", printable),
    ]

    @Sendable private static func addresses(_ value: [UInt8]) -> String? {
        guard !value.isEmpty, value.count % 4 == 0 else { return nil }
        return stride(from: 0, to: value.count, by: 4).map { start in
            value[start..<(start + 4)].map { String($0) }.joined(separator: ".")
        }.joined(separator: " ")
    }

    @Sendable private static func number(_ value: [UInt8]) -> String? {
        guard [1, 2, 4].contains(value.count) else { return nil }
        return String(value.reduce(0 as UInt32) { $0 << 8 | UInt32($1) })
    }

    /// Domain names; an invalid one becomes `bad`, as in busybox, because scripts paste it into
    /// files.
    @Sendable private static func names(_ value: [UInt8]) -> String? {
        String(decoding: value.prefix { $0 != 0 }, as: UTF8.self).split(separator: " ")
            .map { DHCPDomainSearch.isDomain(String($0)) ? String($0) : "bad" }
            .joined(separator: " ")
    }

    @Sendable private static func domains(_ value: [UInt8]) -> String? {
        let domains = DHCPDomainSearch.domains(reading: value)
        return domains.isEmpty ? nil : domains.joined(separator: " ")
    }

    /// Text up to its NUL; any byte other than printable ASCII becomes `?`.
    @Sendable private static func printable(_ value: [UInt8]) -> String {
        let octets = value.prefix { $0 != 0 }.map { (0x20..<0x7f).contains($0) ? $0 : 0x3f }
        return String(decoding: octets, as: UTF8.self)
    }

    /// `network/prefix router` pairs (RFC 3442).
    @Sendable private static func routes(_ value: [UInt8]) -> String? {
        var routes: [String] = []
        var rest = value[...]
        while let prefixLength = rest.popFirst() {
            let octets = (Int(prefixLength) + 7) / 8
            guard prefixLength <= 32, rest.count >= octets + 4 else { return nil }
            let network = Array(rest.prefix(octets)) + [UInt8](repeating: 0, count: 4 - octets)
            let router = Array(rest.dropFirst(octets).prefix(4))
            routes += [(addresses(network) ?? "") + "/\(prefixLength)", addresses(router) ?? ""]
            rest = rest.dropFirst(octets + 4)
        }
        return routes.isEmpty ? nil : routes.joined(separator: " ")
    }
}
