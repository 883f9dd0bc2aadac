/// SHA-256 (FIPS 180-4), for the public keys of QUIC's Initial packets; secrets need a library that
/// runs in constant time.
enum SHA256 {
    static let length = 32
    private static let blockLength = 64

    /// The first 32 bits of the fractional parts of roots of the first 64 primes (4.2.2).
    private static let constants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
        0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe,
        0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f,
        0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da, 0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
        0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc,
        0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
        0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070, 0x19a4_c116,
        0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
        0xc671_78f2,
    ]

    /// The digest of a message.
    static func digest(_ message: [UInt8]) -> [UInt8] {
        var state: [UInt32] = [
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c,
            0x1f83_d9ab, 0x5be0_cd19,
        ]
        // Padding (5.1.1): a bit, zeros, and the length in bits at the end of a block.
        let zeros = (2 * blockLength - 9 - message.count % blockLength) % blockLength
        let padded =
            message + [0x80] + [UInt8](repeating: 0, count: zeros)
            + (UInt64(message.count) * 8).bigEndianOctets
        for start in stride(from: 0, to: padded.count, by: blockLength) {
            compress(padded[start..<(start + blockLength)], into: &state)
        }
        return state.flatMap(\.bigEndianOctets)
    }

    private static func compress(_ block: ArraySlice<UInt8>, into state: inout [UInt32]) {
        var schedule = [UInt32](repeating: 0, count: constants.count)
        for (index, octet) in block.enumerated() {
            schedule[index / 4] = schedule[index / 4] << 8 | UInt32(octet)
        }
        for index in 16..<schedule.count {
            let (near, far) = (schedule[index - 2], schedule[index - 15])
            let sigma0 = rotated(far, 7) ^ rotated(far, 18) ^ far >> 3
            let sigma1 = rotated(near, 17) ^ rotated(near, 19) ^ near >> 10
            schedule[index] = sigma1 &+ schedule[index - 7] &+ sigma0 &+ schedule[index - 16]
        }
        // The working variables a to h of 6.2.2.
        var v = state
        for index in schedule.indices {
            let sum1 = rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)
            let choice = v[4] & v[5] ^ ~v[4] & v[6]
            let first = v[7] &+ sum1 &+ choice &+ constants[index] &+ schedule[index]
            let sum0 = rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)
            let majority = v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2]
            v.removeLast()
            v.insert(first &+ sum0 &+ majority, at: 0)
            v[4] &+= first
        }
        for index in state.indices { state[index] &+= v[index] }
    }

    private static func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 {
        word >> count | word << (32 - count)
    }

    // MARK: Keys

    /// HMAC-SHA-256 (RFC 2104).
    static func authenticationCode(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        var block = key.count > blockLength ? digest(key) : key
        block += [UInt8](repeating: 0, count: blockLength - block.count)
        let inner = digest(block.map { $0 ^ 0x36 } + message)
        return digest(block.map { $0 ^ 0x5c } + inner)
    }

    /// HKDF-Extract (RFC 5869, 2.2).
    static func extract(salt: [UInt8], _ material: [UInt8]) -> [UInt8] {
        authenticationCode(key: salt, material)
    }

    /// HKDF-Expand (RFC 5869, 2.3).
    ///
    /// - Parameters:
    ///   - secret: From `extract`.
    ///   - context: Names what the output is for.
    ///   - count: Bytes of output, at most 255 digests.
    /// - Returns: `count` bytes.
    static func expand(_ secret: [UInt8], context: [UInt8], count: Int) -> [UInt8] {
        var (output, block) = ([UInt8](), [UInt8]())
        var number: UInt8 = 0
        while output.count < count {
            number += 1
            block = authenticationCode(key: secret, block + context + [number])
            output += block
        }
        return Array(output.prefix(count))
    }

    /// HKDF-Expand-Label of TLS 1.3 without a context (RFC 8446, 7.1).
    static func expand(_ secret: [UInt8], label: String, count: Int) -> [UInt8] {
        let name = Array("tls13 \(label)".utf8)
        let context =
            UInt16(truncatingIfNeeded: count).bigEndianOctets
            + [UInt8(truncatingIfNeeded: name.count)] + name + [0]
        return expand(secret, context: context, count: count)
    }
}
