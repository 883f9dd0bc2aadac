/// The mark (U+FEFF in UTF-8) that some editors write before a text; it is not part of the text.
///
/// RFC 8259, section 8.1, lets a parser ignore it, and YAML 1.2.2, section 5.2, says so.
enum ByteOrderMark {
    static let octets: [UInt8] = [0xef, 0xbb, 0xbf]

    /// A text without the mark at its beginning.
    static func skipped(in text: [UInt8]) -> ArraySlice<UInt8> {
        text.starts(with: octets) ? text.dropFirst(octets.count) : text[...]
    }
}
