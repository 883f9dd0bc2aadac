import Testing

@testable import RDNetKit

@Suite("QUIC client inspector")
struct QUICInitialTests {
    private typealias Packets = QUICPackets

    /// What an inspector says about each datagram, in their order.
    private func read(_ datagrams: [UInt8]...) -> [QUICReading] {
        var inspector = QUICClientInspector()
        return datagrams.map { $0.withUnsafeBytes { inspector.read($0) } }
    }

    private func name(_ reading: QUICReading) -> String? {
        guard case .hello(let hello) = reading else { return nil }
        return hello.serverName
    }

    private let hello = QUICReading.hello(QUICInitialTests.hello("a.example"))
    private let otherHello = QUICReading.hello(QUICInitialTests.hello("b.example"))

    private static func hello(_ name: String) -> TLSClientHello {
        do {
            return try TLSClientHello(
                message: TLSHelloBytes.message([TLSHelloBytes.names(name)])
            )
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// A long header with any bytes after the connection IDs.
    private func longHeader(_ start: String, count: Int) -> [UInt8] {
        let start = bytes(start)
        return start + [UInt8](repeating: 0, count: count - start.count)
    }

    // MARK: Keys

    /// RFC 9001, appendix A.1; RFC 9369, appendix A.1.
    @Test(
        "derives the client's keys from the connection ID",
        arguments: [
            (
                .one, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2"
            ),
            (
                .two, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
                "45b95e15235d6f45a6b19cbcb0294ba9"
            ),
        ] as [(QUICVersion, String, String, String)]
    )
    func keys(version: QUICVersion, key: String, iv: String, headerKey: String) {
        let keys = QUICInitialKeys(destination: bytes("8394c8f03e515708"), version: version)
        expectBytes(keys.key, equals: bytes(key))
        expectBytes(keys.iv, equals: bytes(iv))
        expectBytes(keys.headerKey, equals: bytes(headerKey))
    }

    /// RFC 9000, appendix A.3; and numbers around the ends of their range.
    @Test(
        "restores packet numbers",
        arguments: [
            (0x9b32, 16, 0xa82f_30eb, 0xa82f_9b32), (2, 32, 0, 2), (0, 8, 0, 0), (255, 8, 0, 255),
            (0, 8, 255, 256), (255, 8, 256, 255),
        ] as [(UInt64, UInt64, UInt64, UInt64)]
    )
    func number(truncated: UInt64, bits: UInt64, expected: UInt64, number: UInt64) {
        #expect(QUICInitialKeys.number(truncated, bits: bits, expecting: expected) == number)
    }

    // MARK: Names

    @Test("reads the name in the RFCs' packets", arguments: [QUICVersion.one, .two])
    func vectors(version: QUICVersion) {
        let datagram = version == .one ? Packets.versionOne : Packets.versionTwo
        let readings = read(datagram, datagram)
        #expect(name(readings[0]) == "example.com")
        #expect(readings[1] == .other)
    }

    @Test func `reads the name and the protocols in a datagram of aioquic`() {
        guard case .hello(let hello) = read(Packets.aioquic)[0] else {
            Issue.record("no hello")
            return
        }
        #expect(hello.serverName == "service.example.net")
        #expect(hello.applicationProtocols == ["h3"])
    }

    @Test func `joins a hello from pieces in two datagrams, in either order`() {
        #expect(read(Packets.partOne, Packets.partTwo) == [.incomplete, hello])
        #expect(read(Packets.partTwo, Packets.partOne) == [.incomplete, hello])
        let repeated = read(Packets.partOne, Packets.partOne, Packets.partTwo, Packets.partTwo)
        #expect(repeated == [.incomplete, .incomplete, hello, .other])
    }

    @Test func `reads a datagram of several packets`() {
        let short: [UInt8] = [0x41, 1, 2, 3]
        let padding = [UInt8](repeating: 0, count: 100)
        #expect(read(Packets.first + Packets.handshake + short) == [hello])
        #expect(read(Packets.zeroRTT + Packets.first) == [hello])
        #expect(read(Packets.first + padding) == [hello])
        #expect(read(Packets.partOne + Packets.partTwo) == [hello])
    }

    @Test func `reads a first packet without the fixed bit`() {
        #expect(read(Packets.greased) == [hello])
    }

    // MARK: The connection goes on

    @Test func `keeps the keys after the server's answer, and into another version`() {
        let readings = read(Packets.first, Packets.answered, Packets.upgraded)
        #expect(readings == [hello, .other, .other])
        #expect(read(Packets.answered) == [.invalid(.badTag)])
    }

    @Test(
        "passes packets that the handshake protects",
        arguments: [
            QUICPackets.handshake, QUICPackets.zeroRTT, [0x41, 1, 2, 3], [0x01, 2], [],
        ]
    )
    func protected(datagram: [UInt8]) {
        #expect(read(Packets.first, datagram) == [hello, .other])
        #expect(read(Packets.ping, datagram) == [.incomplete, .incomplete])
    }

    @Test func `another connection must name its server again`() {
        let readings = read(
            Packets.first,
            Packets.second,
            Packets.second,
            Packets.first,
            Packets.answered
        )
        #expect(readings == [hello, otherHello, .other, hello, .other])
    }

    @Test func `another connection without a name makes the port wait`() {
        #expect(
            read(Packets.second, Packets.partOne, [0x41]) == [otherHello, .incomplete, .incomplete]
        )
    }

    // MARK: Other protocols

    @Test(
        "is not QUIC without a packet that opens a connection",
        arguments: [
            [], [0x00], [0x41, 1, 2], [0x80], [0xc0, 0, 0, 0],
            // A DNS query whose random number begins with two set bits.
            bytes("c012 0100 0001 0000 0000 0000 0161 00 0001 0001"),
            // RTP with 1,200 bytes: version 2, H.264.
            bytes("8060 1234 00000000 00000000") + [UInt8](repeating: 0, count: 1_188),
            QUICPackets.handshake,
        ]
    )
    func otherProtocol(datagram: [UInt8]) {
        #expect(read(datagram) == [.notQUIC])
    }

    @Test(
        "refuses versions that it cannot read",
        arguments: [
            ("c0 ff00001d 08 0102030405060708 00", 0xff00_001d),
            ("c0 1a2a3a4a 08 0102030405060708 00", 0x1a2a_3a4a),
            ("c0 00000000 08 0102030405060708 00", 0),
        ] as [(String, UInt32)]
    )
    func unknownVersion(start: String, version: UInt32) {
        let datagram = longHeader(start, count: 1_200)
        #expect(read(datagram) == [.invalid(.unknownVersion(version))])
        #expect(read(datagram.dropLast()) == [.notQUIC])
        let short = Array(datagram.prefix(40))
        #expect(read(Packets.first, short) == [hello, .invalid(.unknownVersion(version))])
    }

    // MARK: Refusals

    @Test func `refuses a packet with any changed byte`() {
        for index in Packets.first.indices {
            var changed = Packets.first
            changed[index] ^= 0x04
            let reading = read(changed)[0]
            let isRefused: Bool
            switch reading {
            case .invalid, .notQUIC: isRefused = true
            case .other, .incomplete, .hello: isRefused = false
            }
            #expect(isRefused, "byte \(index): \(reading)")
        }
    }

    @Test func `refuses a packet with any missing end`() {
        for count in 5..<Packets.first.count {
            #expect(
                read(Array(Packets.first[..<count])) == [.invalid(.malformed)],
                "\(count) bytes"
            )
        }
    }

    @Test func `refuses bytes that contradict earlier ones, and only their datagram`() {
        let readings = read(Packets.first, Packets.conflict, Packets.answered)
        #expect(readings == [hello, .invalid(.conflictingData), .other])
        // What was in the refused datagram does not count.
        #expect(
            read(Packets.partTwo, Packets.conflict, Packets.partOne)
                == [.incomplete, .invalid(.conflictingData), hello]
        )
        #expect(
            read(Packets.ping, Packets.conflict, Packets.first) == [
                .incomplete, .incomplete, .invalid(.conflictingData),
            ]
        )
    }

    @Test func `refuses a second hello with another name`() {
        let readings = read(Packets.first, Packets.otherName, Packets.sameName)
        #expect(readings == [hello, .invalid(.differentNames), .other])
    }

    @Test func `refuses a packet with two meanings`() {
        let readings = read(Packets.first, Packets.ambiguous, Packets.answered)
        #expect(readings == [hello, .invalid(.ambiguousKeys), .other])
    }

    @Test func `refuses packets of two connections in a datagram`() {
        #expect(read(Packets.second + Packets.first) == [.invalid(.malformed)])
        #expect(read(Packets.first + Packets.second, [0x41]) == [.invalid(.malformed), .notQUIC])
    }

    @Test func `refuses a frame that Initial packets do not have`() {
        #expect(read(Packets.stream) == [.invalid(.malformed)])
    }

    @Test(
        "refuses malformed long headers",
        arguments: [
            // Connection IDs of 21 bytes, a token and a rest beyond the end, and a Retry packet.
            "c0 00000001 15 000000000000000000000000000000000000000000 00 00 00",
            "c0 00000001 00 15 000000000000000000000000000000000000000000 00 00",
            "c0 00000001 00 00 05 00", "c0 00000001 00 00 00 02 00", "c0 00000001 00 00 ff",
            "c0 00000001 00 00 ffffffffffffffff", "f0 00000001 00 00 00", "c0 6b3343cf 00 00 00",
            "c0 00000001 05",
        ]
    )
    func header(datagram: String) {
        #expect(read(bytes(datagram)) == [.invalid(.malformed)])
    }

    @Test func `refuses a packet that is too short for its sample`() {
        #expect(
            read(bytes("c0 00000001 00 00 00 13") + [UInt8](repeating: 0, count: 19)) == [
                .invalid(.badTag)
            ]
        )
        #expect(read(bytes("c0 00000001 00 00 00 00")) == [.invalid(.badTag)])
    }
}

@Suite("QUIC CRYPTO stream")
struct QUICCryptoStreamTests {
    private func crypto(_ offset: UInt32, _ data: [UInt8]) -> [UInt8] {
        [6] + (offset | 0x8000_0000).bigEndianOctets
            + (UInt16(data.count) | 0x4000).bigEndianOctets + data
    }

    private func read(_ packets: [UInt8]...) throws -> String? {
        var stream = QUICCryptoStream()
        for packet in packets { try stream.read(framesOf: packet) }
        return stream.hello?.serverName
    }

    private let hello = QUICPackets.hello

    @Test func `joins bytes that arrive one by one, backwards`() throws {
        let frames = hello.indices.reversed().map { crypto(UInt32($0), [hello[$0]]) }
        #expect(try read(frames.flatMap { $0 }) == "a.example")
        var stream = QUICCryptoStream()
        for frame in frames {
            #expect(stream.hello == nil)
            try stream.read(framesOf: frame)
        }
        #expect(stream.hello?.serverName == "a.example")
    }

    @Test func `reads between the other frames of Initial packets`() throws {
        let frames =
            bytes("00 01")
            // ACK of 9 to 7 and 4 to 3, the same with ECN counts, and CONNECTION_CLOSE.
            + bytes("02 09 00 01 02 01 01") + bytes("03 09 00 01 02 01 01 01 02 03")
            + crypto(0, hello) + bytes("1c 0a 06 03 626164") + bytes("00")
        #expect(try read(frames) == "a.example")
    }

    @Test(
        "refuses frames that Initial packets do not have, or beyond their end",
        arguments: [
            "04 00", "07 00", "08 00 00", "1d 00 00", "1e", "30 00", "4040", "06", "06 00",
            "06 00 01",
            "06 00 40", "02 00 00 3f 00", "02 00 00 ffffffffffffffff 00 00 00", "1c 00 00 01",
        ]
    )
    func frame(frames: String) {
        #expect(throws: QUICFault.malformed) { try read(bytes(frames)) }
    }

    @Test func `limits the stream to 16 KiB`() throws {
        #expect(try read(crypto(16_383, [0])) == nil)
        #expect(throws: QUICFault.tooMuchData) { try read(crypto(16_383, [0, 0])) }
        #expect(throws: QUICFault.tooMuchData) { try read(bytes("06 ffffffffffffffff 01 00")) }
        #expect(throws: QUICFault.tooMuchData) { try read(crypto(0, bytes("01 003ffd"))) }
        #expect(try read(crypto(0, bytes("01 003ffc"))) == nil)
    }

    @Test func `refuses other bytes for the same place, before and after the hello`() {
        #expect(throws: QUICFault.conflictingData) { try read(crypto(5, [1, 2]), crypto(6, [3])) }
        #expect(throws: QUICFault.conflictingData) { try read(crypto(0, hello), crypto(0, [2])) }
    }

    @Test func `refuses another message and a hello that is wrong`() {
        #expect(throws: QUICFault.hello(.notClientHello)) { try read(crypto(0, [2])) }
        #expect(throws: QUICFault.hello(.badLength)) { try read(crypto(0, bytes("01 000001 03"))) }
    }
}
