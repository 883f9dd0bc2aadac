extension StringProtocol {
    /// The text as a number of 1 to 10 decimal digits and nothing else.
    func decimal(upTo limit: UInt64) -> UInt64? {
        guard (1...10).contains(utf8.count), utf8.allSatisfy({ (48...57).contains($0) }),
            let number = UInt64(self), number <= limit
        else { return nil }
        return number
    }
}
