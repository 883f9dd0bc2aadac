/// The JSON form of a zone in gvproxy's API.
extension DNSZone {
    private static let zoneFields = JSONRecord(
        name: "Zone",
        fields: [("Name", "string"), ("DefaultIP", "net.IP")]
    )
    private static let recordFields = JSONRecord(
        name: "Record",
        path: "Records",
        fields: [("Name", "string"), ("IP", "net.IP"), ("Regexp", "*regexp.Regexp")]
    )

    /// The reason why a value is not a zone, in Go's words.
    enum DocumentError: Error, Equatable, CustomStringConvertible {
        case invalidAddress(String)
        /// The records are not a list.
        case noList(kind: String)

        var description: String {
            switch self {
            case .invalidAddress(let text): "invalid IP address: \(text)"
            case .noList(let kind):
                "json: cannot unmarshal \(kind) into Go struct field Zone.Records of type []types.Record"
            }
        }
    }

    /// Reads a zone.
    ///
    /// - Parameter value: An object; missing members are empty.
    /// - Throws: `JSONError`, `DocumentError` or `NamePatternError`.
    init(reading value: JSON) throws {
        let texts = try Self.zoneFields.read(value)
        var records: [Record] = []
        switch value.member("Records") {
        case nil, .null: break
        case .array(let elements): records = try elements.map(Self.record)
        case .some(let other): throw DocumentError.noList(kind: other.kind)
        }
        self.init(
            name: texts["Name", default: ""],
            records: records,
            defaultAddress: try Self.address(texts["DefaultIP"])
        )
    }

    private static func record(_ value: JSON) throws -> Record {
        let texts = try recordFields.read(value)
        return Record(
            name: texts["Name", default: ""],
            address: try address(texts["IP"]),
            pattern: try texts["Regexp"].map { text throws(NamePatternError) in
                try NamePattern(text)
            }
        )
    }

    /// Parses an address; returns nil for an empty or missing text.
    static func address(_ text: String?) throws(DocumentError) -> IPAddress? {
        guard let text, !text.isEmpty else { return nil }
        guard let address = IPAddress(text) else { throw .invalidAddress(text) }
        return address
    }

    /// The zone with Go's field names; an empty list of records becomes null.
    var json: JSON {
        .object([
            JSON.Member("Name", .string(name)),
            JSON.Member("Records", records.isEmpty ? .null : .array(records.map(\.json))),
            JSON.Member("DefaultIP", .string(defaultAddress?.description ?? "")),
        ])
    }
}

extension DNSZone.Record {
    fileprivate var json: JSON {
        let members = [
            JSON.Member("Name", .string(name)),
            JSON.Member("IP", .string(address?.description ?? "")),
        ]
        return .object(members + (pattern.map { [JSON.Member("Regexp", .string($0.text))] } ?? []))
    }
}
