extension Endpoint {
    /// Parses `192.168.127.2:80` and `[::1]:80`: a literal address and a port from 1 to 65535.
    init?(_ text: some StringProtocol) {
        guard let zoned = ZonedEndpoint(text), zoned.zone.isEmpty else { return nil }
        self = zoned.endpoint
    }
}

extension StringProtocol {
    /// The text as a number of 1 to 10 decimal digits and nothing else.
    func decimal(upTo limit: UInt64) -> UInt64? {
        guard (1...10).contains(utf8.count), utf8.allSatisfy({ (48...57).contains($0) }),
            let number = UInt64(self), number <= limit
        else { return nil }
        return number
    }

    /// The text after a prefix; nil if the text does not start with it.
    func removingPrefix(_ prefix: String) -> String? {
        hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
    }
}
