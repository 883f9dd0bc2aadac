import Testing

/// The octets of a message, field by field: name and hexadecimal digits, in wire order.
///
/// The octets come from another program or from an RFC, never from this one.
struct WireFields: ExpressibleByArrayLiteral, Sendable {
    struct Field: Sendable {
        let name: String
        let octets: [UInt8]
    }

    private(set) var fields: [Field]

    init(arrayLiteral elements: (name: String, hexadecimal: String)...) {
        fields = elements.map { Field(name: $0.name, octets: bytes($0.hexadecimal)) }
    }

    private init(fields: [Field]) {
        self.fields = fields
    }

    var octets: [UInt8] { fields.flatMap(\.octets) }

    /// The octets of the first field with a name.
    subscript(_ name: String) -> [UInt8] {
        guard let field = fields.first(where: { $0.name == name }) else {
            Issue.record("no field is named \(name)")
            return []
        }
        return field.octets
    }

    /// The message from a field on: what an inner layer gets.
    func from(_ name: String) -> WireFields {
        WireFields(fields: Array(fields.drop { $0.name != name }))
    }

    /// The message with another value in the first field with a name.
    func setting(_ name: String, to hexadecimal: String) -> WireFields {
        var changed = fields
        guard let index = changed.firstIndex(where: { $0.name == name }) else {
            Issue.record("no field is named \(name)")
            return self
        }
        changed[index] = Field(name: name, octets: bytes(hexadecimal))
        return WireFields(fields: changed)
    }

    /// The field in which an octet lies; nil behind the last one.
    func name(at offset: Int) -> String? {
        var end = 0
        for field in fields {
            end += field.octets.count
            if offset < end { return field.name }
        }
        return nil
    }

    /// The message with more behind it.
    func followed(by more: WireFields) -> WireFields {
        // No operator: another `+` makes the compiler give up on long sums of arrays.
        WireFields(fields: fields + more.fields)
    }
}

/// Records an issue of a few lines at the first octet that differs.
///
/// - Parameters:
///   - actual: What the product made.
///   - expected: What it should be.
///   - fields: The names of the expected octets, if they have names.
///   - what: What the octets are, for the issue.
///   - sourceLocation: Where the test is.
func expectBytes(
    _ actual: some Collection<UInt8>,
    equals expected: some Collection<UInt8>,
    fields: WireFields? = nil,
    _ what: @autoclosure () -> String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let (actual, expected) = (Array(actual), Array(expected))
    guard !isSame(actual[...], expected[...]) else { return }
    let difference = ByteDifference(actual: actual, expected: expected, fields: fields)
    let title = what()
    Issue.record(
        "\(title.isEmpty ? "" : title + ": ")\(difference)",
        sourceLocation: sourceLocation
    )
}

/// As above, for octets whose fields have names.
func expectBytes(
    _ actual: some Collection<UInt8>,
    equals expected: WireFields,
    _ what: @autoclosure () -> String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    expectBytes(
        actual,
        equals: expected.octets,
        fields: expected,
        what(),
        sourceLocation: sourceLocation
    )
}

/// Records an issue of a few lines at the first of several messages that differs.
func expectFrames(
    _ actual: [[UInt8]],
    equal expected: [[UInt8]],
    _ what: @autoclosure () -> String = "messages",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let what = what()
    #expect(actual.count == expected.count, "\(what)", sourceLocation: sourceLocation)
    for (index, (one, other)) in zip(actual, expected).enumerated() where one != other {
        let title = "\(what), number \(index)"
        return expectBytes(one, equals: other, title, sourceLocation: sourceLocation)
    }
}

/// Where two messages begin to differ, in three lines.
struct ByteDifference: CustomStringConvertible {
    let actual: [UInt8]
    let expected: [UInt8]
    var fields: WireFields?

    /// The octets before and after the difference that are shown.
    private static let context = (before: 8, after: 8)

    /// The first octet that differs or that only one of them has.
    var offset: Int {
        zip(actual, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset
            ?? min(actual.count, expected.count)
    }

    var description: String {
        let offset = offset
        let field = fields?.name(at: offset).map { " (\($0))" } ?? ""
        let counts =
            actual.count == expected.count
            ? "\(actual.count) octets" : "\(actual.count) octets, expected \(expected.count)"
        return """
            octet \(offset)\(field) of \(counts)
            expected \(Self.excerpt(expected, around: offset))
            actual   \(Self.excerpt(actual, around: offset))
            """
    }

    private static func excerpt(_ octets: [UInt8], around offset: Int) -> String {
        let start = max(offset - context.before, 0)
        let end = min(offset + context.after, octets.count)
        var words = (start..<max(start, end)).map { index in
            let digits = String(octets[index], radix: 16)
            let octet = digits.count == 1 ? "0" + digits : digits
            return index == offset ? "[\(octet)]" : octet
        }
        if offset >= octets.count { words.append("[end]") }
        return (start > 0 ? "… " : "") + words.joined(separator: " ")
            + (end < octets.count ? " …" : "")
    }
}

/// What a writer makes of room that is not zero, so that every octet it skips shows.
func written(_ count: Int, _ write: (inout MutableRawSpan) -> Void) -> [UInt8] {
    var octets = [UInt8](repeating: 0xee, count: count)
    octets.withUnsafeMutableBytes { room in
        var span = room.mutableBytes
        write(&span)
    }
    return octets
}
