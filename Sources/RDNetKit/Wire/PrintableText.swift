extension String {
    /// The text with a replacement for each character that would make a terminal do something else than show it.
    var printable: String {
        let scalars = unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control ? "\u{fffd}" : scalar
        }
        return String(String.UnicodeScalarView(scalars))
    }
}
