/// A human-readable table: headings, and columns as wide as their content.
struct TextTable {
    /// A column's heading and alignment.
    struct Column {
        let heading: String
        let isNumber: Bool

        /// A column of words, aligned left.
        static func words(_ heading: String) -> Column {
            Column(heading: heading, isNumber: false)
        }

        /// A column of numbers, aligned right.
        static func numbers(_ heading: String) -> Column {
            Column(heading: heading, isNumber: true)
        }
    }

    let columns: [Column]
    /// One text per column; an empty text is shown as a hyphen.
    var rows: [[String]]

    /// The lines, headings first, without trailing spaces.
    var text: String {
        let lines = [columns.map(\.heading)] + rows.map { $0.map(Self.cell) }
        let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            columns.indices.map { column in
                let gap = String(repeating: " ", count: widths[column] - line[column].count)
                return columns[column].isNumber ? gap + line[column] : line[column] + gap
            }.joined(separator: "  ").trimmedAtEnd + "\n"
        }.joined()
    }

    private static func cell(_ text: String) -> String {
        text.isEmpty ? "-" : text.printable
    }
}

extension String {
    fileprivate var trimmedAtEnd: String {
        String(self[..<(lastIndex { $0 != " " }.map { index(after: $0) } ?? startIndex)])
    }
}
