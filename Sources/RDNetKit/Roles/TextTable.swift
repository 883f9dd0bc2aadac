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

    /// The width to which `ctl` cuts cells on a terminal; complete values are in `--json`.
    static let terminalWidth = 48

    let columns: [Column]
    /// One text per column; an empty text is shown as a hyphen.
    var rows: [[String]]
    /// The maximum number of characters in a cell; nil for no limit.
    var cellWidth: Int?

    /// The lines, headings first, without trailing spaces.
    var text: String {
        let lines = [columns.map(\.heading)] + rows.map { $0.map(cell) }
        let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            columns.indices.map { column in
                let gap = String(repeating: " ", count: widths[column] - line[column].count)
                return columns[column].isNumber ? gap + line[column] : line[column] + gap
            }.joined(separator: "  ").trimmedAtEnd + "\n"
        }.joined()
    }

    private func cell(_ text: String) -> String {
        guard !text.isEmpty else { return "-" }
        let shown = text.printable
        guard let cellWidth, shown.count > cellWidth else { return shown }
        return shown.prefix(cellWidth - 1) + "…"
    }
}

extension String {
    fileprivate var trimmedAtEnd: String {
        String(self[..<(lastIndex { $0 != " " }.map { index(after: $0) } ?? startIndex)])
    }
}
