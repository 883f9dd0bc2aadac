/// AES with 128-bit keys (FIPS 197) and its Galois/Counter Mode (NIST SP 800-38D), for the public
/// keys of QUIC's Initial packets.
///
/// The tables make the time depend on the key; secrets need a library that runs in constant time.
struct AES128 {
    static let keyLength = 16
    static let blockLength = 16
    static let nonceLength = 12
    static let tagLength = 16

    typealias Block = SIMD16<UInt8>

    /// The key and the ten round keys.
    private let roundKeys: [Block]

    /// Expands a key of `keyLength` bytes (5.2).
    init(key: [UInt8]) {
        precondition(key.count == Self.keyLength, "an AES-128 key has 16 bytes")
        var keys = key
        var constant: UInt8 = 1
        while keys.count < 11 * Self.blockLength {
            var word = Array(keys.suffix(4))
            if keys.count % Self.keyLength == 0 {
                word = [word[1], word[2], word[3], word[0]].map { Self.substitutes[Int($0)] }
                word[0] ^= constant
                constant = Self.doubled(constant)
            }
            for octet in word { keys.append(keys[keys.count - Self.keyLength] ^ octet) }
        }
        roundKeys = stride(from: 0, to: keys.count, by: Self.blockLength).map {
            Block(keys[$0..<($0 + Self.blockLength)])
        }
    }

    // MARK: The cipher

    /// The S-box (5.1.1): the inverse in GF(2⁸) and an affine transformation.
    private static let substitutes: [UInt8] = {
        var table = [UInt8](repeating: 0x63, count: 256)
        // All elements but zero are powers of 3; `inverse` runs through the same powers of 1/3.
        var (element, inverse): (UInt8, UInt8) = (1, 1)
        repeat {
            element ^= doubled(element)
            inverse ^= inverse << 1
            inverse ^= inverse << 2
            inverse ^= inverse << 4
            if inverse & 0x80 != 0 { inverse ^= 0x09 }
            let rotations = (1...4).reduce(inverse) { $0 ^ (inverse << $1 | inverse >> (8 - $1)) }
            table[Int(element)] = rotations ^ 0x63
        } while element != 1
        return table
    }()

    /// The product with x in GF(2⁸) (4.2.1).
    private static func doubled(_ octet: UInt8) -> UInt8 {
        octet << 1 ^ (octet & 0x80 != 0 ? 0x1b : 0)
    }

    /// Encrypts a block (5.1).
    func encrypted(_ block: Block) -> Block {
        var state = block ^ roundKeys[0]
        for round in 1...10 {
            // SubBytes and ShiftRows: row r of column c comes from column c + r.
            let old = state
            for index in 0..<Self.blockLength {
                state[index] = Self.substitutes[Int(old[(index + index % 4 * 4) % 16])]
            }
            if round < 10 { state = Self.mixedColumns(state) }
            state ^= roundKeys[round]
        }
        return state
    }

    private static func mixedColumns(_ state: Block) -> Block {
        var mixed = state
        for column in stride(from: 0, to: blockLength, by: 4) {
            let sum = (1..<4).reduce(state[column]) { $0 ^ state[column + $1] }
            for row in 0..<4 {
                let next = state[column + (row + 1) % 4]
                mixed[column + row] ^= sum ^ doubled(state[column + row] ^ next)
            }
        }
        return mixed
    }

    // MARK: Galois/Counter Mode

    /// Decrypts a message and checks its tag (SP 800-38D, 7.2).
    ///
    /// - Parameters:
    ///   - sealed: The ciphertext and the tag after it.
    ///   - nonce: `nonceLength` bytes.
    ///   - header: The bytes that the tag also covers.
    /// - Returns: The plaintext; nil for another tag.
    func opened(
        _ sealed: ArraySlice<UInt8>,
        nonce: [UInt8],
        header: ArraySlice<UInt8>
    ) -> [UInt8]? {
        guard sealed.count >= Self.tagLength else { return nil }
        let (ciphertext, tag) = (sealed.dropLast(Self.tagLength), sealed.suffix(Self.tagLength))
        var hash = GaloisHash(key: encrypted(.zero))
        hash.combine(header)
        hash.combine(ciphertext)
        hash.combine(
            ((UInt64(header.count) * 8).bigEndianOctets
                + (UInt64(ciphertext.count) * 8).bigEndianOctets)[...]
        )
        let mask = encrypted(Block(nonce + UInt32(1).bigEndianOctets))
        guard Block(tag) == Block(hash.octets) ^ mask else { return nil }
        return counterMode(ciphertext, nonce: nonce)
    }

    private func counterMode(_ octets: ArraySlice<UInt8>, nonce: [UInt8]) -> [UInt8] {
        var (output, counter) = (Array(octets), UInt32(1))
        for start in stride(from: 0, to: output.count, by: Self.blockLength) {
            counter &+= 1
            let stream = encrypted(Block(nonce + counter.bigEndianOctets))
            for index in start..<min(start + Self.blockLength, output.count) {
                output[index] ^= stream[index - start]
            }
        }
        return output
    }
}

/// GHASH (SP 800-38D, 6.4) over pieces that are padded to whole blocks.
private struct GaloisHash {
    private typealias Element = (high: UInt64, low: UInt64)

    private let key: Element
    private var state: Element = (0, 0)

    init(key: AES128.Block) {
        self.key = Self.element(key.indices.map { key[$0] }[...])
    }

    var octets: [UInt8] { state.high.bigEndianOctets + state.low.bigEndianOctets }

    mutating func combine(_ piece: ArraySlice<UInt8>) {
        for start in stride(from: piece.startIndex, to: piece.endIndex, by: AES128.blockLength) {
            let block = Self.element(piece[start...].prefix(AES128.blockLength))
            state = Self.product((state.high ^ block.high, state.low ^ block.low), key)
        }
    }

    private static func element(_ octets: ArraySlice<UInt8>) -> Element {
        var element: Element = (0, 0)
        for (index, octet) in octets.enumerated() {
            let bits = UInt64(octet) << (56 - index % 8 * 8)
            if index < 8 { element.high |= bits } else { element.low |= bits }
        }
        return element
    }

    /// The product in GF(2¹²⁸) with the bits in GCM's order (6.3).
    private static func product(_ one: Element, _ other: Element) -> Element {
        var (sum, power): (Element, Element) = ((0, 0), other)
        for bit in 0..<128 {
            let word = bit < 64 ? one.high : one.low
            if word >> (63 - bit % 64) & 1 == 1 {
                sum = (sum.high ^ power.high, sum.low ^ power.low)
            }
            let carry = power.low & 1
            power = (power.high >> 1, power.low >> 1 | power.high << 63)
            if carry == 1 { power.high ^= 0xe100_0000_0000_0000 }
        }
        return sum
    }
}
