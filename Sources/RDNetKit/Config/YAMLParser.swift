/// A parser for the subset of YAML 1.2 that people use in configuration files.
///
/// Maps, lists and scalars, in block and flow style, plain and quoted, with comments. Anchors,
/// aliases, tags, multi-line scalars, complex keys, further documents and duplicate keys are errors
/// with their line. Depth and length are bounded, and every byte is read a bounded number of times.
struct YAMLParser {
    /// Octets.
    static let maximumLength = 1 << 20
    private static let maximumDepth = 32

    let octets: [UInt8]
    /// The current position, its line and the start of that line.
    var at = 0
    var line = 1
    var lineStart = 0
    private var depth = 0

    /// Parses a document.
    ///
    /// - Parameter text: The file's contents.
    /// - Returns: Its value; null for an empty document.
    /// - Throws: `YAMLError`.
    static func parse(_ text: String) throws(YAMLError) -> YAMLNode {
        guard text.utf8.count <= maximumLength else {
            throw YAMLError(line: 1, reason: "the file is longer than \(maximumLength) bytes")
        }
        var parser = YAMLParser(octets: Array(ByteOrderMark.skipped(in: Array(text.utf8))))
        return try parser.document()
    }

    private init(octets: [UInt8]) {
        self.octets = octets
    }

    func fault(_ reason: String) -> YAMLError {
        YAMLError(line: line, reason: reason)
    }

    // MARK: Documents

    private mutating func document() throws(YAMLError) -> YAMLNode {
        try skipBlankLines()
        if current == UInt8(ascii: "%"), column == 0 {
            throw fault("a directive (%) is not supported")
        }
        if isMarker("---") {
            at += 3
            try skipToContent()
        }
        let node = try block(deeperThan: -1)
        try skipBlankLines()
        if isMarker("...") {
            at += 3
            try endLine()
            try skipBlankLines()
        }
        guard at == octets.count else {
            let reason =
                isMarker("---")
                ? "a second document is not supported"
                : "expected a key of the map above, or the end"
            throw fault(reason)
        }
        return node
    }

    private func isMarker(_ marker: StaticString) -> Bool {
        guard column == 0, at + 3 <= octets.count else { return false }
        let matches = (0..<3).allSatisfy { octets[at + $0] == marker.utf8Start[$0] }
        return matches && isBlank(at + 3)
    }

    // MARK: Blocks

    /// The value at the next content, if its indentation is deep enough.
    private mutating func block(deeperThan parent: Int) throws(YAMLError) -> YAMLNode {
        try skipBlankLines()
        guard at < octets.count, column > parent, !isMarker("---"), !isMarker("...") else {
            return .null(line: line)
        }
        return try node()
    }

    /// The value at the current position; its first line determines its kind.
    private mutating func node() throws(YAMLError) -> YAMLNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw fault("deeper than \(Self.maximumDepth) levels")
        }
        if isDash { return try sequence(column) }
        if keyEnd() != nil { return try mapping(column) }
        let node = try inline()
        try endLine()
        return node
    }

    private var isDash: Bool { current == UInt8(ascii: "-") && isBlank(at + 1) }

    private mutating func sequence(_ indent: Int) throws(YAMLError) -> YAMLNode {
        let start = line
        var members: [YAMLNode] = []
        while at < octets.count, column == indent, isDash {
            at += 1
            skipSpaces()
            members.append(isAtLineEnd ? try block(deeperThan: indent) : try node())
            try skipBlankLines()
        }
        try refuseDeeper(than: indent)
        return YAMLNode(value: .sequence(members), line: start)
    }

    private mutating func mapping(_ indent: Int) throws(YAMLError) -> YAMLNode {
        let start = line
        var entries: [YAMLEntry] = []
        while at < octets.count, column == indent, !isDash, let end = keyEnd() {
            let keyLine = line
            let key = try key(endingAt: end)
            if entries.contains(where: { $0.key == key }) {
                throw fault("the key \"\(key)\" is repeated")
            }
            at = end + 1
            skipSpaces()
            entries.append(YAMLEntry(key: key, value: try value(of: indent), line: keyLine))
            try skipBlankLines()
        }
        try refuseDeeper(than: indent)
        return YAMLNode(value: .mapping(entries), line: start)
    }

    /// The value after a key's colon.
    private mutating func value(of indent: Int) throws(YAMLError) -> YAMLNode {
        guard isAtLineEnd else {
            let node = try inline()
            try endLine()
            return node
        }
        let keyLine = line
        try skipBlankLines()
        // A list may have the same indentation as its key.
        if at < octets.count, column == indent, isDash { return try node() }
        let node = try block(deeperThan: indent)
        return node.isNull ? .null(line: keyLine) : node
    }

    private func refuseDeeper(than indent: Int) throws(YAMLError) {
        guard at < octets.count, column > indent else { return }
        throw fault("indented deeper than what it could belong to")
    }

    /// The position of the colon if a key starts here; nil otherwise.
    private func keyEnd() -> Int? {
        var index = at
        if let quote = current, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            index = quotedEnd(quote)
            while index < octets.count, octets[index] == 0x20 { index += 1 }
            let isKey = index < octets.count && octets[index] == UInt8(ascii: ":")
            return isKey && isBlank(index + 1) ? index : nil
        }
        if current == UInt8(ascii: "[") || current == UInt8(ascii: "{") { return nil }
        while index < octets.count, octets[index] != 0x0a {
            if octets[index] == UInt8(ascii: ":"), isBlank(index + 1) { return index }
            let startsComment = octets[index] == UInt8(ascii: "#") && index > at
            if startsComment, isBlank(index - 1) { return nil }
            index += 1
        }
        return nil
    }

    /// The end of the quoted text that starts here, within its line.
    private func quotedEnd(_ quote: UInt8) -> Int {
        var index = at + 1
        while index < octets.count, octets[index] != 0x0a {
            let octet = octets[index]
            let isDoubled = octet == quote && index + 1 < octets.count && octets[index + 1] == quote
            if octet == quote, quote == UInt8(ascii: "\"") || !isDoubled { return index + 1 }
            let isEscape = octet == UInt8(ascii: "\\") && quote == UInt8(ascii: "\"")
            index += isEscape || isDoubled ? 2 : 1
        }
        return index
    }

    private mutating func key(endingAt end: Int) throws(YAMLError) -> String {
        let node = try scalar(endingAt: end)
        skipSpaces()
        guard at == end, case .scalar(let key, _) = node.value else {
            throw fault("expected one text as a key")
        }
        return key
    }

    // MARK: Values in a line

    private mutating func inline() throws(YAMLError) -> YAMLNode {
        switch current {
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            return try flow()
        default:
            let node = try scalar(endingAt: plainEnd(inFlow: false))
            if case .scalar(_, isQuoted: false) = node.value, current == UInt8(ascii: ":") {
                throw fault("a map cannot begin after a key; quote a text that has \": \" in it")
            }
            return node
        }
    }

    private mutating func scalar(endingAt end: Int) throws(YAMLError) -> YAMLNode {
        let start = line
        switch current {
        case UInt8(ascii: "\""):
            return YAMLNode(value: .scalar(try doubleQuoted(), isQuoted: true), line: start)
        case UInt8(ascii: "'"):
            return YAMLNode(value: .scalar(try singleQuoted(), isQuoted: true), line: start)
        default:
            try refuseIndicator()
            var stop = end
            while stop > at, octets[stop - 1] == 0x20 || octets[stop - 1] == 0x09 { stop -= 1 }
            let text = String(decoding: octets[at..<stop], as: UTF8.self)
            at = end
            return YAMLNode(value: .scalar(text, isQuoted: false), line: start)
        }
    }

    /// Rejects YAML syntax that this parser does not support.
    private func refuseIndicator() throws(YAMLError) {
        let what: String
        switch current {
        case UInt8(ascii: "&"): what = "an anchor (&)"
        case UInt8(ascii: "*"): what = "an alias (*)"
        case UInt8(ascii: "!"): what = "a tag (!)"
        case UInt8(ascii: "|"), UInt8(ascii: ">"): what = "a text over several lines (| or >)"
        case UInt8(ascii: "@"), UInt8(ascii: "`"): what = "a text that begins with @ or `"
        case UInt8(ascii: "%"): what = "a text that begins with %"
        case UInt8(ascii: "?") where isBlank(at + 1): what = "a key of several parts (?)"
        default: return
        }
        throw fault("\(what) is not supported")
    }

    /// The end of the plain scalar that starts here.
    private func plainEnd(inFlow: Bool) -> Int {
        let stops: [UInt8] = inFlow ? Array(",[]{}".utf8) : []
        var index = at
        while index < octets.count, octets[index] != 0x0a, octets[index] != 0x0d {
            let octet = octets[index]
            if stops.contains(octet) { break }
            if octet == UInt8(ascii: ":"), isBlank(index + 1) || stopsFlow(index + 1, stops) {
                break
            }
            if octet == UInt8(ascii: "#"), index > at, isBlank(index - 1) { break }
            index += 1
        }
        return index
    }

    private func stopsFlow(_ index: Int, _ stops: [UInt8]) -> Bool {
        index < octets.count && stops.contains(octets[index])
    }

    // MARK: Flow style

    private mutating func flow() throws(YAMLError) -> YAMLNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw fault("deeper than \(Self.maximumDepth) levels")
        }
        let start = line
        let isMap = current == UInt8(ascii: "{")
        let end = isMap ? UInt8(ascii: "}") : UInt8(ascii: "]")
        at += 1
        var members: [YAMLNode] = []
        var entries: [YAMLEntry] = []
        while true {
            try skipFlowSpace()
            if current == end { break }
            if isMap {
                let entry = try flowEntry()
                if entries.contains(where: { $0.key == entry.key }) {
                    throw fault("the key \"\(entry.key)\" is repeated")
                }
                entries.append(entry)
            } else {
                members.append(try flowMember())
            }
            try skipFlowSpace()
            if current == UInt8(ascii: ",") {
                at += 1
            } else if current != end {
                throw fault("expected , or \(isMap ? "}" : "]")")
            }
        }
        at += 1
        return YAMLNode(value: isMap ? .mapping(entries) : .sequence(members), line: start)
    }

    private mutating func flowMember() throws(YAMLError) -> YAMLNode {
        if current == UInt8(ascii: "[") || current == UInt8(ascii: "{") { return try flow() }
        let node = try scalar(endingAt: plainEnd(inFlow: true))
        if case .scalar("", isQuoted: false) = node.value { throw fault("expected a value") }
        return node
    }

    private mutating func flowEntry() throws(YAMLError) -> YAMLEntry {
        let keyLine = line
        guard case .scalar(let key, _) = try flowMember().value else {
            throw fault("expected one text as a key")
        }
        try skipFlowSpace()
        guard current == UInt8(ascii: ":") else {
            return YAMLEntry(key: key, value: .null(line: keyLine), line: keyLine)
        }
        at += 1
        try skipFlowSpace()
        let isEmpty = current == UInt8(ascii: ",") || current == UInt8(ascii: "}")
        let value = isEmpty ? YAMLNode.null(line: line) : try flowMember()
        return YAMLEntry(key: key, value: value, line: keyLine)
    }

    /// Skips spaces, line ends and comments between the parts of a flow value.
    private mutating func skipFlowSpace() throws(YAMLError) {
        while true {
            skipSpaces()
            if current == UInt8(ascii: "#") { skipComment() }
            guard at < octets.count else { throw fault("a [ or { is not closed") }
            guard current == 0x0a || current == 0x0d else { return }
            skipLineEnd()
        }
    }
}
