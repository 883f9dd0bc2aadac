/// A configuration file's text, split into sections and keys.
///
/// `[section]`, `key = value` and comments from a `#` at the start of a line or after white space.
/// The first `=` ends the key. White space around section, key and value is ignored. The meaning of
/// sections and keys is defined elsewhere.
struct ConfigurationFile: Equatable {
    struct Entry: Equatable {
        let section: String
        let key: String
        let value: String
        let line: Int
    }

    struct Section: Equatable {
        let name: String
        let line: Int
    }

    let path: String
    private(set) var sections: [Section] = []
    private(set) var entries: [Entry] = []

    /// Parses a text.
    ///
    /// - Parameters:
    ///   - path: Only for errors.
    ///   - text: The file's contents.
    /// - Throws: `ConfigurationError` for the first bad line.
    init(path: String, text: String) throws(ConfigurationError) {
        self.path = path
        let lines = ByteOrderMark.skipped(in: Array(text.utf8))
            .split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, octets) in lines.enumerated() {
            let line = Self.trimmed(Self.withoutComment(Array(octets)))
            if !line.isEmpty { try take(line, number: index + 1) }
        }
    }

    /// The position of a line, for errors and `--print-config`.
    func source(_ line: Int) -> ValueSource {
        .file(path: path, line: line)
    }

    private mutating func take(
        _ line: ArraySlice<UInt8>,
        number: Int
    ) throws(ConfigurationError) {
        let text = String(decoding: line, as: UTF8.self)
        if line.first == UInt8(ascii: "[") {
            let name = Self.trimmed(line.dropFirst().dropLast())
            guard line.last == UInt8(ascii: "]"), !name.isEmpty else {
                throw .malformedLine(text, source: source(number))
            }
            sections.append(Section(name: String(decoding: name, as: UTF8.self), line: number))
            return
        }
        guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else {
            throw .malformedLine(text, source: source(number))
        }
        let key = String(decoding: Self.trimmed(line[..<equals]), as: UTF8.self)
        guard !key.isEmpty else { throw .malformedLine(text, source: source(number)) }
        guard let section = sections.last else {
            throw .keyOutsideSection(key, source: source(number))
        }
        let value = String(decoding: Self.trimmed(line[(equals + 1)...]), as: UTF8.self)
        entries.append(Entry(section: section.name, key: key, value: value, line: number))
    }

    private static func isSpace(_ octet: UInt8) -> Bool {
        octet == UInt8(ascii: " ") || octet == UInt8(ascii: "\t") || octet == UInt8(ascii: "\r")
    }

    private static func withoutComment(_ line: [UInt8]) -> ArraySlice<UInt8> {
        for index in line.indices where line[index] == UInt8(ascii: "#") {
            if index == 0 || isSpace(line[index - 1]) { return line[..<index] }
        }
        return line[...]
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var line = line.drop(while: isSpace)
        while let last = line.last, isSpace(last) { line = line.dropLast() }
        return line
    }
}
