extension String {
    /// The text with every character replaced that a terminal would act on instead of showing.
    var printable: String {
        let scalars = unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control ? "\u{fffd}" : scalar
        }
        return String(String.UnicodeScalarView(scalars))
    }
}
