extension Endpoint {
    /// Parses `192.168.127.2:80` and `[::1]:80`: a literal address and a port from 1 to 65535.
    init?(_ text: some StringProtocol) {
        let text = String(text)
        guard let colon = text.lastIndex(of: ":"),
            let port = text[text.index(after: colon)...].decimal(upTo: 65_535), port > 0
        else { return nil }
        let host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        guard let address = IPAddress(isBracketed ? host.dropFirst().dropLast() : host),
            isBracketed == host.contains(":")
        else { return nil }
        self.init(address: address, port: UInt16(truncatingIfNeeded: port))
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
