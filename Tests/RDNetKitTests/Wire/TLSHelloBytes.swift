@testable import RDNetKit

/// Client hellos that real programs sent, and the parts of others.
enum TLSHelloBytes {
    /// Python 3.11's `ssl` with OpenSSL 3.0.19: `wrap_bio(server_hostname="WWW.Example.COM")` and
    /// `set_alpn_protocols(["h2", "http/1.1"])`.
    static let python: WireFields = [
        ("record: handshake, version, length", "16 0301 0200"),
        ("message: client hello, length", "01 0001fc"),
        ("version", "0303"),
        ("random", "6588dcb3c0b9d0e7e77b6e59bbb5e39caae236589b84ec5fcb67fc01265789d6"),
        ("session", "20 8739af16fa8eedf910b722cfae325d579b5cf6ccf13d35adddfa79dfa36a7f76"),
        ("cipher suites", "0024 130213031301c02cc030c02bc02fcca9cca8c024c028c023c027"),
        ("cipher suites, continued", "009f009e006b006700ff"),
        ("compression methods", "01 00"),
        ("extensions", "018f"),
        ("server name: type, lengths", "0000 0014 0012 00 000f"),
        ("name: WWW.Example.COM", "5757572e4578616d706c652e434f4d"),
        ("point formats", "000b 0004 03000102"),
        ("groups", "000a 0016 0014001d0017001e0019001801000101010201030104"),
        ("session ticket", "0023 0000"),
        ("ALPN: h2, http/1.1", "0010 000e 000c 02 6832 08 687474702f312e31"),
        ("encrypt then MAC, extended main secret", "0016 0000 0017 0000"),
        ("signature algorithms", "000d 002a 0028040305030603080708080809"),
        (
            "signature algorithms, continued",
            "080a080b080408050806040105010601030303010302040205020602"
        ),
        ("supported versions", "002b 0005 0403040303"),
        ("key exchange modes", "002d 0002 0101"),
        ("key share", "0033 0026 0024 001d 0020"),
        ("X25519", "5ad2c6cd99d283a1962ded66408772f29bff8d6d0e384f66281e2b0d92611e19"),
        ("padding", "0015 00cc" + String(repeating: "00", count: 204)),
    ]

    /// The same program without a server name and with TLS 1.2 as its maximum.
    static let nameless: WireFields = [
        ("record and message", "16 0301 009d 01 000099"),
        ("version", "0303"),
        ("random", "de9c2eb3cee2ff7189b384ed9af0dcb2fe5cf58b735bd7a2211181009ec29efe"),
        ("session", "00"),
        ("cipher suites", "001e c02cc030c02bc02fcca9cca8c024c028c023c027009f009e006b006700ff"),
        ("compression methods", "01 00"),
        ("extensions", "0052"),
        ("point formats", "000b 0004 03000102"),
        ("groups", "000a 000c 000a001d0017001e00190018"),
        ("ticket, encrypt then MAC, main secret", "0023 0000 0016 0000 0017 0000"),
        ("signature algorithms", "000d 002a 0028"),
        (
            "RSA, ECDSA and others",
            "040305030603080708080809" + "080a080b08040805080604010501060103"
        ),
        ("SHA-1 and SHA-224", "0303010302040205020602"),
    ]

    /// `openssl s_client -servername host.example. -tls1_2`, which keeps the final dot.
    static let opensslWithDot: WireFields = [
        ("record and message", "16 0301 00cd 01 0000c9"),
        ("version", "0303"),
        ("random", "78b5f5a8f5a6f462dcc509a0f9c661d2a2b4cdc6f5d0f3f732f704901a5041ea"),
        ("session", "00"),
        ("cipher suites", "0038 c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067"),
        ("cipher suites, continued", "c00ac0140039c009c0130033009d009c003d003c0035002f00ff"),
        ("compression methods", "01 00"),
        ("extensions", "0068"),
        ("server name: type, lengths", "0000 0012 0010 00 000d"),
        ("name: host.example.", "686f73742e6578616d706c652e"),
        ("point formats", "000b 0004 03000102"),
        ("groups", "000a 000c 000a001d0017001e00190018"),
        ("ticket, encrypt then MAC, main secret", "0023 0000 0016 0000 0017 0000"),
        ("signature algorithms", "000d 002a 0028"),
        (
            "RSA, ECDSA and others",
            "040305030603080708080809" + "080a080b08040805080604010501060103"
        ),
        ("SHA-1 and SHA-224", "0303010302040205020602"),
    ]

    /// A handshake message with these extensions: type and value.
    static func message(_ extensions: [(type: UInt16, value: [UInt8])]) -> [UInt8] {
        let list = extensions.flatMap {
            $0.type.bigEndianOctets + vector(UInt16(0), $0.value)
        }
        return message(extensions: vector(UInt16(0), list))
    }

    /// A handshake message with these bytes after its compression methods.
    static func message(extensions: [UInt8]) -> [UInt8] {
        let body = [3, 3] + [UInt8](repeating: 7, count: 32) + bytes("00 0002 1301 01 00")
        let length = UInt32(body.count + extensions.count).bigEndianOctets.dropFirst()
        return [1] + length + body + extensions
    }

    /// A `server_name` extension with these names.
    static func names(_ names: String...) -> (type: UInt16, value: [UInt8]) {
        (0, vector(UInt16(0), names.flatMap { [0] + vector(UInt16(0), Array($0.utf8)) }))
    }

    /// Bytes after their length, which is of the integer's type.
    static func vector<Length: FixedWidthInteger>(_: Length, _ value: [UInt8]) -> [UInt8] {
        Length(value.count).bigEndianOctets + value
    }

    /// A message in records of a size.
    static func records(_ message: [UInt8], size: Int = 16_384) -> [UInt8] {
        stride(from: 0, to: message.count, by: size).flatMap { start in
            bytes("16 0301") + vector(UInt16(0), Array(message[start...].prefix(size)))
        }
    }
}
