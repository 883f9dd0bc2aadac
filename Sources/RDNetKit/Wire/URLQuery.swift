/// The parameters of a URL's query (the form encoding of HTML, as Go's `url.ParseQuery` reads it).
struct URLQuery {
    /// Names and values, in order.
    let parameters: [(name: String, value: String)]

    /// Parses a query; omits parameters with malformed escapes or a semicolon.
    init(_ text: some StringProtocol) {
        parameters = text.split(separator: "&").compactMap { part in
            guard !part.contains(";") else { return nil }
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(sides[0]),
                let value = Self.decoded(sides.count > 1 ? sides[1] : "")
            else { return nil }
            return (name, value)
        }
    }

    /// The first value of a name; nil when there is none.
    subscript(name: String) -> String? {
        parameters.first { $0.name == name }?.value
    }

    private static func decoded(_ text: some StringProtocol) -> String? {
        URLPath.decoded(String(text.map { $0 == "+" ? " " : $0 }))
    }
}
