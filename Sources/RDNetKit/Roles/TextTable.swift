/// A table for people: headings, and columns as wide as what is in them.
struct TextTable {
    /// A column's heading, and on which side its texts end.
    struct Column {
        let heading: String
        let isNumber: Bool

        /// A column of words: they begin one below the other.
        static func words(_ heading: String) -> Column {
            Column(heading: heading, isNumber: false)
        }

        /// A column of numbers: they end one below the other.
        static func numbers(_ heading: String) -> Column {
            Column(heading: heading, isNumber: true)
        }
    }

    let columns: [Column]
    /// One text a column; an empty one is shown as a hyphen.
    var rows: [[String]]

    /// The lines, headings first, without spaces at their ends.
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
