/// The keys of a client's Initial packets, which everyone can derive from the connection ID that
/// the client chose (RFC 9001, section 5.2).
struct QUICInitialKeys {
    /// Bytes of ciphertext from which the header's mask is made (RFC 9001, section 5.4.2).
    private static let sampleLength = AES128.blockLength
    private static let maximumNumberLength = 4

    let key: [UInt8]
    let iv: [UInt8]
    let headerKey: [UInt8]
    private let cipher: AES128
    private let headerCipher: AES128

    /// Derives the keys.
    ///
    /// - Parameters:
    ///   - destination: The connection ID of the first packet.
    ///   - version: Salt and labels differ.
    init(destination: [UInt8], version: QUICVersion) {
        let initial = SHA256.extract(salt: version.salt, destination)
        let secret = SHA256.expand(initial, label: "client in", count: SHA256.length)
        let expand = { SHA256.expand(secret, label: version.label + $0, count: $1) }
        key = expand("key", AES128.keyLength)
        iv = expand("iv", AES128.nonceLength)
        headerKey = expand("hp", AES128.keyLength)
        cipher = AES128(key: key)
        headerCipher = AES128(key: headerKey)
    }

    /// Removes the protection of a packet.
    ///
    /// - Parameters:
    ///   - packet: From its first byte to its end.
    ///   - numberStart: The offset of the packet number in it.
    ///   - expected: The next packet number.
    /// - Returns: The frames and the packet's number; nil if it was encrypted with other keys.
    func opened(
        _ packet: [UInt8],
        numberStart: Int,
        expecting expected: UInt64
    ) -> (frames: [UInt8], number: UInt64)? {
        let sampleStart = numberStart + Self.maximumNumberLength
        guard packet.count >= sampleStart + Self.sampleLength else { return nil }
        let sample = packet[sampleStart..<(sampleStart + Self.sampleLength)]
        let mask = headerCipher.encrypted(AES128.Block(sample))

        var packet = packet
        packet[0] ^= mask[0] & 0x0f
        let numberLength = Int(packet[0] & 3) + 1
        var truncated: UInt64 = 0
        for index in 0..<numberLength {
            packet[numberStart + index] ^= mask[1 + index]
            truncated = truncated << 8 | UInt64(packet[numberStart + index])
        }
        let number = Self.number(truncated, bits: UInt64(numberLength) * 8, expecting: expected)
        let padding = [UInt8](repeating: 0, count: AES128.nonceLength - 8)
        let nonce = zip(padding + number.bigEndianOctets, iv).map(^)
        let contentStart = numberStart + numberLength
        return cipher.opened(packet[contentStart...], nonce: nonce, header: packet[..<contentStart])
            .map { ($0, number) }
    }

    /// The number closest to the expected one that ends with these bits (RFC 9000, appendix A.3).
    static func number(_ truncated: UInt64, bits: UInt64, expecting expected: UInt64) -> UInt64 {
        let window: UInt64 = 1 << bits
        let candidate = expected & ~(window - 1) | truncated
        if candidate + window / 2 <= expected, candidate < 1 << 62 - window {
            return candidate + window
        }
        if candidate > expected + window / 2, candidate >= window { return candidate - window }
        return candidate
    }
}

extension QUICVersion {
    /// RFC 9001, section 5.2; RFC 9369, section 3.3.1.
    fileprivate var salt: [UInt8] {
        switch self {
        case .one:
            [
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ]
        case .two:
            [
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
                0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ]
        }
    }

    /// What the names of the keys start with (RFC 9001, section 5.1; RFC 9369, section 3.3.2).
    fileprivate var label: String {
        switch self {
        case .one: "quic "
        case .two: "quicv2 "
        }
    }
}
