/// Why a text is not the state of a network.
enum NetworkStateError: Error, Equatable, CustomStringConvertible {
    case notJSON(JSONError)
    case wrongVersion(String)
    /// A member is missing or has another value than expected.
    case wrongMember(String, expected: String)

    var description: String {
        switch self {
        case .notJSON(let error): "not JSON: \(error)"
        case .wrongVersion(let text):
            "version \(text), but this program reads version \(NetworkState.version)"
        case .wrongMember(let name, let expected): "\(name): expected \(expected)"
        }
    }
}

/// What survives a restart of the host end: leases, and the forwards that the API opened.
///
/// Its text is JSON with one lease or forward in each line. Times are seconds since 1970 by the
/// wall clock. A reader uses only the difference between the end of a lease and the time of
/// writing: a lease then has at least the time that its holder counts on, even if the wall clock
/// was changed meanwhile. The price is that leases do not run out while no host end runs.
struct NetworkState: Equatable {
    /// An address and its holder.
    struct Lease: Equatable {
        var address: IPAddress
        var holder: LeasePool.Holder
        /// The label that the holder sent; nil for none.
        var hostName: String?
        /// When the lease ends or ended, by the wall clock.
        var expires: Int64
    }

    /// An IPv6 address and its machine.
    struct IPv6Lease: Equatable {
        var address: IPAddress
        var mac: MACAddress
        /// The label that the machine sent; nil for none.
        var hostName: String?
        /// When the lease ends or ended, by the wall clock.
        var expires: Int64
    }

    static let version = 1
    private static let maximumValues = 1 << 20
    /// The year 9999; larger times could overflow.
    private static let lastSecond: Int64 = 253_402_300_799

    /// When it was written, by the wall clock.
    var written: Int64
    var leases: [Lease] = []
    /// A file of an earlier version of this program has none.
    var ipv6Leases: [IPv6Lease] = []
    var forwards: [ForwardTable.Record] = []

    /// The rest of a lease at the time of writing.
    ///
    /// - Parameter end: When the lease ends, by the wall clock.
    /// - Returns: Not positive if it had ended.
    func rest(until end: Int64) -> Duration {
        .seconds(end - written)
    }

    // MARK: Text

    /// The text, which ends with a line feed.
    var octets: [UInt8] {
        let head = #"{"version":\#(Self.version),"written":\#(written),"#
        return Array("\(head)\n".utf8) + Self.array("leases", leases.map(Self.json)) + [0x2c, 0x0a]
            + Self.array("ipv6_leases", ipv6Leases.map(Self.json)) + [0x2c, 0x0a]
            + Self.array("forwards", forwards.map(Self.json)) + Array("}\n".utf8)
    }

    private static func array(_ name: String, _ values: [JSON]) -> [UInt8] {
        let lines = values.map(\.octets).joined(separator: [0x2c, 0x0a])
        return Array("\"\(name)\":[\n".utf8) + lines + Array(values.isEmpty ? "]".utf8 : "\n]".utf8)
    }

    private static func json(_ lease: Lease) -> JSON {
        var members = [
            JSON.Member("address", .string("\(lease.address)")),
            JSON.Member("mac", .string("\(lease.holder.hardwareAddress)")),
            JSON.Member("client", .string(lease.holder.client.hexadecimal)),
        ]
        if let name = lease.hostName { members.append(JSON.Member("name", .string(name))) }
        members.append(JSON.Member("expires", .number(String(lease.expires))))
        return .object(members)
    }

    private static func json(_ lease: IPv6Lease) -> JSON {
        var members = [
            JSON.Member("address", .string("\(lease.address)")),
            JSON.Member("mac", .string("\(lease.mac)")),
        ]
        if let name = lease.hostName { members.append(JSON.Member("name", .string(name))) }
        members.append(JSON.Member("expires", .number(String(lease.expires))))
        return .object(members)
    }

    private static func json(_ forward: ForwardTable.Record) -> JSON {
        let owner: String =
            switch forward.owner {
            case .configuration, .host: "host"
            case .guest(let address): "\(address)"
            }
        return .object([
            JSON.Member("protocol", .string(forward.transport.rawValue)),
            JSON.Member("local", .string(forward.local)),
            JSON.Member("remote", .string(forward.remote)), JSON.Member("owner", .string(owner)),
        ])
    }

    /// Parses a text.
    ///
    /// - Throws: `NetworkStateError`.
    init(reading octets: [UInt8]) throws(NetworkStateError) {
        let document: JSON
        do {
            document = try JSONParser.parse(octets, maximumValues: Self.maximumValues)
        } catch {
            throw .notJSON(error)
        }
        guard case .number(let version)? = document.member("version") else {
            throw .wrongMember("version", expected: "a number")
        }
        guard version == String(Self.version) else { throw .wrongVersion(version) }
        written = try Self.time(document, "written")
        leases = try Self.list(document, "leases", upTo: LeasePool.capacity, Self.lease)
        if document.member("ipv6_leases") != nil {
            let capacity = LeasePool.capacity
            ipv6Leases = try Self.list(document, "ipv6_leases", upTo: capacity, Self.ipv6Lease)
        }
        let capacity = ForwardTable.maximumRecords
        forwards = try Self.list(document, "forwards", upTo: capacity, Self.forward)
    }

    /// Creates the state of a network without leases and forwards.
    init(written: Int64) {
        self.written = written
    }

    private static func lease(_ value: JSON) throws(NetworkStateError) -> Lease {
        guard let address = IPAddress(try text(value, "address")), address.isIPv4 else {
            throw .wrongMember("address", expected: "an IPv4 address")
        }
        let mac = try mac(value)
        guard let client = LeasePool.Client(hexadecimal: try text(value, "client")) else {
            throw .wrongMember("client", expected: "2 to 255 bytes in hexadecimal")
        }
        return Lease(
            address: address,
            holder: LeasePool.Holder(client: client, hardwareAddress: mac),
            hostName: value.member("name") == nil ? nil : try text(value, "name"),
            expires: try time(value, "expires")
        )
    }

    private static func ipv6Lease(_ value: JSON) throws(NetworkStateError) -> IPv6Lease {
        guard let address = IPAddress(try text(value, "address")), !address.isIPv4 else {
            throw .wrongMember("address", expected: "an IPv6 address")
        }
        return IPv6Lease(
            address: address,
            mac: try mac(value),
            hostName: value.member("name") == nil ? nil : try text(value, "name"),
            expires: try time(value, "expires")
        )
    }

    private static func mac(_ value: JSON) throws(NetworkStateError) -> MACAddress {
        guard let mac = MACAddress(try text(value, "mac")), !mac.isGroup else {
            throw .wrongMember("mac", expected: "a MAC address")
        }
        return mac
    }

    private static func forward(_ value: JSON) throws(NetworkStateError) -> ForwardTable.Record {
        guard let transport = ForwardProtocol(rawValue: try text(value, "protocol")) else {
            throw .wrongMember("protocol", expected: "tcp, udp or unix")
        }
        let name = try text(value, "owner")
        let guest = IPAddress(name)
        guard name == "host" || guest != nil else {
            throw .wrongMember("owner", expected: "host or an IP address")
        }
        return ForwardTable.Record(
            local: try text(value, "local"),
            remote: try text(value, "remote"),
            transport: transport,
            owner: guest.map { .guest($0) } ?? .host
        )
    }

    private static func text(_ value: JSON, _ name: String) throws(NetworkStateError) -> String {
        guard case .string(let text)? = value.member(name) else {
            throw .wrongMember(name, expected: "a text")
        }
        return text
    }

    private static func time(_ value: JSON, _ name: String) throws(NetworkStateError) -> Int64 {
        guard case .number(let digits)? = value.member(name), let seconds = Int64(digits),
            (0...lastSecond).contains(seconds)
        else { throw .wrongMember(name, expected: "whole seconds since 1970") }
        return seconds
    }

    private static func list<Entry>(
        _ value: JSON,
        _ name: String,
        upTo limit: Int,
        _ read: (JSON) throws(NetworkStateError) -> Entry
    ) throws(NetworkStateError) -> [Entry] {
        guard case .array(let values)? = value.member(name), values.count <= limit else {
            throw .wrongMember(name, expected: "a list of at most \(limit) entries")
        }
        var entries: [Entry] = []
        for (index, value) in values.enumerated() {
            do throws(NetworkStateError) {
                entries.append(try read(value))
            } catch {
                throw error.inside("\(name)[\(index)]")
            }
        }
        return entries
    }
}

extension NetworkStateError {
    /// The same error about a member of a list's entry.
    fileprivate func inside(_ entry: String) -> NetworkStateError {
        guard case .wrongMember(let name, let expected) = self else { return self }
        return .wrongMember("\(entry).\(name)", expected: expected)
    }
}

extension LeasePool.Client {
    /// The client's identifier in DHCP's form, in hexadecimal; a MAC address has type 1 before it.
    fileprivate var hexadecimal: String {
        let octets =
            switch self {
            case .identifier(let octets): octets
            case .hardware(let mac): [1] + mac.octets
            }
        return octets.map(\.hexadecimal).joined()
    }

    fileprivate init?(hexadecimal text: String) {
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == text.count, digits.count.isMultiple(of: 2) else { return nil }
        let octets = stride(from: 0, to: digits.count, by: 2).map { index in
            UInt8(truncatingIfNeeded: digits[index] << 4 | digits[index + 1])
        }
        self.init(identifier: octets)
    }
}
