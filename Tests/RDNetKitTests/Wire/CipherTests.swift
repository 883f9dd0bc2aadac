import Testing

@testable import RDNetKit

@Suite("SHA-256 and AES-128")
struct CipherTests {
    /// FIPS 180-4's examples, and the empty message.
    @Test(
        "digests messages",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
        ]
    )
    func digest(message: String, expected: String) {
        expectBytes(SHA256.digest(Array(message.utf8)), equals: bytes(expected))
    }

    /// The digest of the digests of 0 to 129 letters, from Python's hashlib.
    @Test func `pads messages of any length`() {
        let digests = (0..<130).flatMap { SHA256.digest([UInt8](repeating: 0x61, count: $0)) }
        let expected = "39a48225ae6069c68f7c9f867bf47f4a2e188c3903dd919926b8259a73ecada5"
        expectBytes(SHA256.digest(digests), equals: bytes(expected))
    }

    /// RFC 4231, 4.2, 4.3 and 4.7.
    @Test(
        "authenticates messages",
        arguments: [
            (
                [UInt8](repeating: 0x0b, count: 20), "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xaa, count: 131),
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
        ]
    )
    func authentication(key: [UInt8], message: String, expected: String) {
        let code = SHA256.authenticationCode(key: key, Array(message.utf8))
        expectBytes(code, equals: bytes(expected))
    }

    /// RFC 5869, A.1.
    @Test func `derives keys`() {
        let secret = SHA256.extract(
            salt: bytes("000102030405060708090a0b0c"),
            [UInt8](repeating: 0x0b, count: 22)
        )
        expectBytes(
            secret,
            equals: bytes("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
        )
        expectBytes(
            SHA256.expand(secret, context: bytes("f0f1f2f3f4f5f6f7f8f9"), count: 42),
            equals: bytes(
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                    + "34007208d5b887185865"
            )
        )
    }

    /// FIPS 197, appendix B and C.1.
    @Test(
        "encrypts blocks",
        arguments: [
            (
                "2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734",
                "3925841d02dc09fbdc118597196a0b32"
            ),
            (
                "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
                "69c4e0d86a7b0430d8cdb78070b4c55a"
            ),
        ]
    )
    func block(key: String, plain: String, expected: String) {
        let block = AES128(key: bytes(key)).encrypted(AES128.Block(bytes(plain)))
        expectBytes(block.indices.map { block[$0] }, equals: bytes(expected))
    }

    /// Test cases 1 and 2 of the proposal of GCM to NIST (McGrew and Viega).
    @Test(
        "opens messages without a header",
        arguments: [
            ("58e2fccefa7e3061367f1d57a4e7455a", ""),
            (
                "0388dace60b6a392f328c2b971b2fe78 ab6e47d42cec13bdf53a67b21257bddf",
                "00000000000000000000000000000000"
            ),
        ]
    )
    func opening(sealed: String, plain: String) {
        let cipher = AES128(key: [UInt8](repeating: 0, count: 16))
        let nonce = [UInt8](repeating: 0, count: 12)
        #expect(cipher.opened(bytes(sealed)[...], nonce: nonce, header: []) == bytes(plain))
    }

    /// Test case 4: neither the header nor the text fills its last block.
    @Test func `opens a message with a header, and only as it was sealed`() {
        let cipher = AES128(key: bytes("feffe9928665731c6d6a8f9467308308"))
        let nonce = bytes("cafebabefacedbaddecaf888")
        let header = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        let sealed = bytes(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
                + "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
                + "5bc94fbc3221a5db94fae95ae7121a47"
        )
        let plain = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        )
        #expect(cipher.opened(sealed[...], nonce: nonce, header: header[...]) == plain)
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(cipher.opened(changed[...], nonce: nonce, header: header[...]) == nil)
        }
        for index in header.indices {
            var changed = header
            changed[index] ^= 1
            #expect(cipher.opened(sealed[...], nonce: nonce, header: changed[...]) == nil)
        }
        #expect(cipher.opened(sealed.prefix(15), nonce: nonce, header: header[...]) == nil)
    }
}
