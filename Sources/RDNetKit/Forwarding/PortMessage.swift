/// A guest agent's message about published ports: one JSON object, decoded as Go decodes it.
///
/// `{"remove":false,"ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]}}`
///
/// Names are case-insensitive, and unknown names are ignored. Null and missing values become zero
/// values. A value of the wrong type invalidates the whole message.
struct PortMessage: Equatable {
    /// One port of the host, as in the message.
    struct Binding: Equatable {
        /// The part of the container's port after the slash, in lower case; `tcp` without a slash.
        var transport: String
        var hostIP: String
        var hostPort: String
    }

    private static let binding = JSONRecord(
        name: "PortBinding",
        fields: [("hostip", "string"), ("hostport", "string")]
    )
    /// Decoded only for its errors: no agent sends it, and rdnet does not use it.
    private static let connectAddress = JSONRecord(
        name: "ConnectAddrs",
        fields: [("network", "string"), ("addr", "string")]
    )

    private(set) var isRemoval = false
    /// The bindings in the order of the message.
    private(set) var bindings: [Binding] = []

    /// Decodes a message.
    ///
    /// - Parameter octets: The message; bytes after the first value are ignored.
    /// - Throws: `JSONError`, with the messages of Go's decoder.
    init(decoding octets: [UInt8]) throws(JSONError) {
        let value = try JSONParser.parse(
            octets,
            maximumValues: PortMessageReader.maximumLength / 16
        )
        if value == .null { return }
        guard case .object(let members) = value else {
            throw .wrongValue(kind: value.kind, record: "PortMapping")
        }
        var ports: [(key: String, bindings: [Binding])] = []
        for member in members {
            switch member.name.lowercased() {
            case "remove": isRemoval = try Self.truth(member.value) ?? isRemoval
            case "ports": try Self.merge(member.value, into: &ports)
            case "connectaddrs":
                for element in try Self.elements(member.value, of: "connectAddrs") {
                    _ = try Self.connectAddress.read(element)
                }
            default: continue
            }
        }
        bindings = ports.flatMap(\.bindings)
    }

    private static func truth(_ value: JSON) throws(JSONError) -> Bool? {
        switch value {
        case .bool(let truth): return truth
        case .null: return nil
        case .number, .string, .array, .object:
            throw .wrongField(kind: value.kind, field: "PortMapping.remove", type: "bool")
        }
    }

    /// Merges a `ports` value as Go does: a second map adds to the first one, and null empties it.
    private static func merge(
        _ value: JSON,
        into ports: inout [(key: String, bindings: [Binding])]
    ) throws(JSONError) {
        if value == .null {
            ports = []
            return
        }
        guard case .object(let members) = value else {
            throw .wrongField(kind: value.kind, field: "PortMapping.ports", type: "nat.PortMap")
        }
        var places: [String: Int] = [:]
        for (place, port) in ports.enumerated() { places[port.key] = place }
        for member in members {
            let entry = (key: member.name, bindings: try bindings(member))
            if let place = places[member.name] {
                ports[place] = entry
            } else {
                places[member.name] = ports.count
                ports.append(entry)
            }
        }
    }

    private static func bindings(_ port: JSON.Member) throws(JSONError) -> [Binding] {
        let transport = transport(of: port.name)
        var bindings: [Binding] = []
        for element in try elements(port.value, of: "ports") {
            let fields = try binding.read(element)
            bindings.append(
                Binding(
                    transport: transport,
                    hostIP: fields["hostip", default: ""],
                    hostPort: fields["hostport", default: ""]
                )
            )
        }
        return bindings
    }

    private static func elements(
        _ value: JSON,
        of field: String
    ) throws(JSONError) -> [JSON] {
        if value == .null { return [] }
        guard case .array(let elements) = value else {
            throw .wrongField(kind: value.kind, field: "PortMapping.\(field)", type: "slice")
        }
        return elements
    }

    /// The transport of a container's port: `80/udp` is `udp`, `80` and `80/` are `tcp`, and a port
    /// without a number has none.
    private static func transport(of port: String) -> String {
        let parts = port.split(separator: "/", omittingEmptySubsequences: false)
        guard let number = parts.first, !number.isEmpty else { return "" }
        return parts.count > 1 && !parts[1].isEmpty ? parts[1].lowercased() : "tcp"
    }
}

/// Collects a message's bytes and detects the end of its one object.
struct PortMessageReader {
    /// Limit on a message in bytes: room for about 16,000 bindings.
    static let maximumLength = 1 << 20

    private(set) var octets: [UInt8] = []
    private var depth = 0
    private var isInString = false
    private var isEscaped = false

    /// Whether the message exceeds the limit.
    var isTooLong: Bool { octets.count > Self.maximumLength }

    /// Appends bytes.
    ///
    /// - Returns: Whether the object is complete, or the bytes do not start an object: decoding
    ///   needs no more bytes.
    mutating func append(_ more: UnsafeRawBufferPointer) -> Bool {
        for octet in more {
            octets.append(octet)
            if ByteOrderMark.octets.starts(with: octets) { continue }
            if isInString {
                readInString(octet)
            } else if readBetween(octet) {
                return true
            }
        }
        return false
    }

    private mutating func readInString(_ octet: UInt8) {
        if isEscaped {
            isEscaped = false
        } else if octet == UInt8(ascii: "\\") {
            isEscaped = true
        } else if octet == UInt8(ascii: "\"") {
            isInString = false
        }
    }

    /// Processes a byte outside of strings; returns whether it is the last one needed.
    private mutating func readBetween(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        case UInt8(ascii: "\""): isInString = true
        case 0x20, 0x09, 0x0a, 0x0d: return false
        default: break
        }
        return depth <= 0
    }
}
