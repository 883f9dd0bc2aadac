/// Ports to forward, in the syntax of pasta: `none`, `auto`, or
/// `[ADDRESS][%INTERFACE]/PORTS[:PORTS],~PORTS`.
struct PastaPorts: Hashable, Sendable, CustomStringConvertible {
    /// A port on which clients are accepted, and the port in the other namespace.
    struct Pair: Hashable, Sendable {
        var outer: UInt16
        var inner: UInt16
    }

    enum Choice: Hashable, Sendable {
        case none
        /// The ports that are open on the other side.
        case auto
        case listed([Pair])
    }

    let choice: Choice
    /// Where clients are accepted; nil for every address.
    let address: IPAddress?
    /// The only interface from which clients come; nil for any.
    let interface: String?
    private let text: String

    /// Parses a list of ports.
    init?(_ text: some StringProtocol) {
        let text = Substring(text)
        self.text = String(text)
        if let word = [Choice.none, .auto].first(where: { "\($0)" == text }) {
            choice = word
            (address, interface) = (nil, nil)
            return
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let ports = parts.last, let pairs = Self.pairs(ports) else {
            return nil
        }
        choice = .listed(pairs)
        guard parts.count == 2 else {
            (address, interface) = (nil, nil)
            return
        }
        let place = parts[0].split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        interface =
            place.count == 2 ? ValueSyntax<String>.interfaceName.parse(String(place[1])) : nil
        address = Self.address(place[0])
        guard (address == nil) == place[0].isEmpty, (interface == nil) == (place.count == 1),
            address != nil || interface != nil
        else { return nil }
    }

    /// Parses an address; an IPv6 address may be in brackets.
    private static func address(_ text: Substring) -> IPAddress? {
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        let address = IPAddress(isBracketed ? text.dropFirst().dropLast() : text)
        return isBracketed && address?.isIPv4 ?? false ? nil : address
    }

    /// Parses `22-80:32-90,25,~30`; nil unless at least one port is left.
    private static func pairs(_ text: Substring) -> [Pair]? {
        var inner: [UInt16: UInt16] = [:]
        var excluded: [PortRange] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            if item.hasPrefix("~") {
                guard let ports = PortRange(item.dropFirst()) else { return nil }
                excluded.append(ports)
                continue
            }
            let sides = item.split(separator: ":", omittingEmptySubsequences: false)
            guard sides.count <= 2, let from = PortRange(sides[0]),
                let to = PortRange(sides[sides.count - 1]), from.count == to.count
            else { return nil }
            for (outer, port) in zip(from.first...from.last, to.first...to.last) {
                // The same port twice is a mistake.
                guard inner.updateValue(port, forKey: outer) == nil else { return nil }
            }
        }
        let pairs = inner.filter { outer, _ in !excluded.contains { $0.contains(outer) } }
            .map { Pair(outer: $0, inner: $1) }.sorted { $0.outer < $1.outer }
        return pairs.isEmpty ? nil : pairs
    }

    /// The pairs of a list; none for a word.
    var pairs: [Pair] {
        if case .listed(let pairs) = choice { pairs } else { [] }
    }

    var description: String { text }

    static func == (one: PastaPorts, other: PastaPorts) -> Bool { one.text == other.text }

    func hash(into hasher: inout Hasher) { hasher.combine(text) }
}

extension ValueSyntax where Value == PastaPorts {
    /// Ports of the host to forward into a namespace.
    static let pastaPorts = ValueSyntax(
        placeholder: "PORTS",
        expected: """
            none, auto, or [ADDRESS][%INTERFACE]/PORTS[:PORTS][,…] with ports or ranges of the same \
            length, and ~PORTS for exceptions, such as 127.0.0.1/8080:80 or 2000-2010,~2005
            """,
        parse: { PastaPorts($0) },
        text: { $0.description }
    )

    /// Ports of a namespace's loopback addresses to forward to the host's.
    static let pastaLoopbackPorts = ValueSyntax(
        placeholder: "PORTS",
        expected: """
            none, auto, or PORTS[:PORTS][,…] with ports or ranges of the same length, and ~PORTS for \
            exceptions, such as 5432 or 2000-2010:3000-3010
            """,
        parse: { text in
            PastaPorts(text).flatMap { $0.address == nil && $0.interface == nil ? $0 : nil }
        },
        text: { $0.description }
    )
}

extension [PastaPorts] {
    /// Whether the open ports of the other side are forwarded: by default, and with `auto`.
    var isAuto: Bool { isEmpty || contains { $0.choice == .auto } }

    /// Whether it has `none` or `auto`, and something else.
    var isContradictory: Bool {
        Set(map { $0.choice == .none ? 0 : $0.choice == .auto ? 1 : 2 }).count > 1
    }

    /// Every pair that is listed.
    var pairs: [PastaPorts.Pair] { flatMap(\.pairs) }
}
