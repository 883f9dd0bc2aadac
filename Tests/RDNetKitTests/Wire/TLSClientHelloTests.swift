import Testing

@testable import RDNetKit

@Suite("TLS client hello")
struct TLSClientHelloTests {
    private typealias Bytes = TLSHelloBytes

    /// All at once, and byte by byte with everything before it; both must agree.
    private func read(
        _ stream: [UInt8],
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> TLSClientHelloReading {
        let whole = stream.withUnsafeBytes { TLSClientHello.read($0) }
        var reader = TLSClientHelloReader()
        var reading = TLSClientHelloReading.incomplete
        for end in 0...stream.count where reading == .incomplete {
            reading = stream[..<end].withUnsafeBytes { reader.read($0) }
        }
        #expect(reading == whole, "in segments of one byte", sourceLocation: sourceLocation)
        return whole
    }

    private func read(_ extensions: (type: UInt16, value: [UInt8])...) -> TLSClientHelloReading {
        read(Bytes.records(Bytes.message(extensions)))
    }

    private func hello(_ name: String?) -> TLSClientHelloReading {
        .hello(TLSClientHello(message: name))
    }

    // MARK: Real programs

    @Test func `reads the name in lower case, and the protocols, of Python's hello`() throws {
        guard case .hello(let hello) = read(Bytes.python.octets) else {
            Issue.record("no hello")
            return
        }
        #expect(hello.serverName == "www.example.com")
        #expect(hello.applicationProtocols == ["h2", "http/1.1"])
        #expect(!hello.hasEncryptedHello)
    }

    @Test func `has no name and no protocols without their extensions`() {
        #expect(read(Bytes.nameless.octets) == hello(nil))
    }

    @Test func `drops the final dot of the name`() {
        #expect(read(Bytes.opensslWithDot.octets) == hello("host.example"))
    }

    @Test func `reads the message of another transport without records`() throws {
        let message = Array(Bytes.python.octets.dropFirst(5))
        let hello = try TLSClientHello(readingHandshake: message.span.bytes)
        #expect(hello.serverName == "www.example.com")
        #expect(throws: TLSHelloError.badLength) {
            try TLSClientHello(readingHandshake: (message + [0]).span.bytes)
        }
    }

    // MARK: Segments and records

    @Test("joins records of any size", arguments: [1, 2, 3, 4, 5, 7, 64, 511, 512])
    func records(size: Int) {
        let message = Array(Bytes.opensslWithDot.octets.dropFirst(5))
        #expect(read(Bytes.records(message, size: size)) == hello("host.example"))
    }

    @Test("accepts long messages up to 64 KiB", arguments: [16_380, 16_384, 16_400, 65_536])
    func longMessage(length: Int) {
        let name = Bytes.names("a.example")
        let fixed = Bytes.message([name, (21, [])]).count
        let message = Bytes.message([(21, Array(repeating: 0, count: length - fixed)), name])
        #expect(message.count == length)
        let stream = Bytes.records(message)
        #expect(stream.withUnsafeBytes { TLSClientHello.read($0) } == hello("a.example"))
    }

    @Test func `refuses a message over 64 KiB at its first four bytes`() {
        #expect(read(bytes("16 0301 0004 01 00fffd")) == .invalid(.tooLong))
        #expect(read(bytes("16 0301 0004 01 00fffc")) == .incomplete)
    }

    @Test func `gives up on a long stream of tiny records`() {
        let message = bytes("01 00fffc") + [UInt8](repeating: 0, count: 40_000)
        let stream = Bytes.records(message, size: 1)
        #expect(stream.withUnsafeBytes { TLSClientHello.read($0) } == .invalid(.tooLong))
    }

    @Test func `needs every byte of the last record`() {
        let stream = Bytes.python.octets
        for end in 0..<stream.count {
            #expect(read(Array(stream[..<end])) == .incomplete, "\(end) bytes")
        }
    }

    @Test(
        "refuses a record that interrupts the message or comes before it",
        arguments: [
            "15 0301 0002 01 5a",
            "14 0303 0001 01",
            "17 0303 0001 00",
            "18 0303 0001 00",
            // An empty record of the right type, which OpenSSL 3.0's server skips.
            "16 0301 0000",
        ]
    )
    func interruption(record: String) {
        let message = Bytes.message([Bytes.names("a.example")])
        let (start, end) = (Array(message[..<10]), Array(message[10...]))
        let before = read(bytes(record) + Bytes.records(message))
        let between = read(Bytes.records(start) + bytes(record) + Bytes.records(end))
        #expect(before == .invalid(.unexpectedRecord))
        #expect(between == .invalid(.unexpectedRecord))
    }

    @Test func `keeps its reading, whatever follows`() {
        let hello = Bytes.records(Bytes.message([Bytes.names("a.example")]))
        var reader = TLSClientHelloReader()
        let first = hello.withUnsafeBytes { reader.read($0) }
        #expect((hello + bytes("17 0303 0001 00")).withUnsafeBytes { reader.read($0) } == first)
        var other = TLSClientHelloReader()
        #expect([UInt8]([0x47]).withUnsafeBytes { other.read($0) } == .notTLS)
        #expect(hello.withUnsafeBytes { other.read($0) } == .notTLS)
    }

    @Test func `refuses a second message in the record of the first`() {
        let message = Bytes.message([Bytes.names("a.example")])
        let other = Bytes.message([Bytes.names("b.example")])
        #expect(read(Bytes.records(message + other)) == .invalid(.trailingData))
    }

    @Test(
        "refuses records and messages that servers disagree about",
        arguments: [
            ("16 0301 4001", .badLength),
            ("16 0301 0001 00", .notClientHello),
            ("16 0301 0001 02", .notClientHello),
            ("16 0301 0001 01 16 0201 0001", .badVersion),
        ] as [(String, TLSHelloError)]
    )
    func record(stream: String, error: TLSHelloError) {
        #expect(read(bytes(stream)) == .invalid(error))
    }

    // MARK: Other protocols

    @Test(
        "is not TLS from the first byte that differs",
        arguments: [
            "47", "53", "00", "16 02", "16 47", "15 00", "19", "80 2e 02", "80 2e 01 01",
            "80 2e 01 00 01",
        ]
    )
    func otherProtocol(start: String) {
        let stream = bytes(start)
        #expect(read(stream) == .notTLS)
        #expect(read(stream.dropLast()) == .incomplete)
    }

    /// OpenSSL 3.0's server still accepts this format.
    @Test(
        "refuses the hello of SSL 2.0",
        arguments: ["80 2e 01 0301", "80 2e 01 0002", "ff ff 01 03 03"]
    )
    func versionTwo(start: String) {
        #expect(read(bytes(start)) == .invalid(.versionTwoFormat))
    }

    // MARK: Names

    @Test(
        "accepts DNS names",
        arguments: [
            ("EXAMPLE.com", "example.com"),
            ("example.com.", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_dmarc.a-b.example", "_dmarc.a-b.example"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
        ]
    )
    func name(text: String, expected: String) {
        #expect(read(Bytes.names(text)) == hello(expected))
    }

    @Test(
        "refuses names that are not DNS names",
        arguments: [
            "", ".", "a..b", ".a", "a.example..", "a example", "a\u{0}.example", "bücher.example",
            "a.example/", "*.example", "a.example:443", "2001:db8::1", "a.example\n",
            String(repeating: "a", count: 64) + ".example",
            String(repeating: "abcdefgh.", count: 28) + "example",
        ]
    )
    func badName(text: String) {
        #expect(read(Bytes.names(text)) == .invalid(.badServerName))
    }

    @Test func `refuses two names, in one extension or in two`() {
        #expect(read(Bytes.names("a.example", "b.example")) == .invalid(.manyServerNames))
        #expect(
            read(Bytes.names("a.example"), Bytes.names("b.example"))
                == .invalid(.repeatedExtension(0))
        )
        #expect(
            read(Bytes.names("a.example"), (21, []), Bytes.names("a.example"))
                == .invalid(.repeatedExtension(0))
        )
    }

    @Test(
        "refuses a server_name extension whose lengths do not add up",
        arguments: [
            ("", .badLength),
            ("0000", .badLength),
            ("0004 00 0001", .badLength),
            ("0004 00 0002 61", .badLength),
            ("0004 00 0001 61 00", .badLength),
            ("0005 00 0001 61 00", .manyServerNames),
            ("0004 01 0001 61", .badServerName),
        ] as [(String, TLSHelloError)]
    )
    func lengths(value: String, error: TLSHelloError) {
        #expect(read((0, bytes(value))) == .invalid(error))
    }

    @Test(
        "refuses a list of protocols whose lengths do not add up",
        arguments: ["", "0000", "0001 00", "0003 03 6832", "0003 02 6832 00"]
    )
    func protocols(value: String) {
        #expect(read((16, bytes(value))) == .invalid(.badLength))
    }

    @Test func `reports an encrypted hello beside the outer name`() {
        let reading = read(Bytes.names("outer.example"), (0xfe0d, bytes("00 0001 0001")))
        guard case .hello(let hello) = reading else {
            Issue.record("\(reading)")
            return
        }
        #expect(hello.hasEncryptedHello)
        #expect(hello.serverName == "outer.example")
    }

    // MARK: Lengths

    @Test func `accepts a hello without extensions, as SSL 3.0 had none`() {
        #expect(read(Bytes.records(Bytes.message(extensions: []))) == hello(nil))
    }

    @Test(
        "refuses extensions whose lengths do not add up",
        arguments: ["00", "0001", "0000 00", "0004 0000 0001", "0003 0000 00"]
    )
    func extensions(list: String) {
        #expect(read(Bytes.records(Bytes.message(extensions: bytes(list)))) == .invalid(.badLength))
    }

    @Test(
        "refuses a hello that any of its length fields contradicts",
        arguments: ["session", "cipher suites", "compression methods", "extensions"]
    )
    func wrongLength(field: String) {
        // One more than the length that the field has, in its last byte.
        let octets = Bytes.opensslWithDot[field]
        let size = field == "cipher suites" || field == "extensions" ? 2 : 1
        var changed = octets
        changed[size - 1] += 1
        let digits = changed.map { String(256 + Int($0), radix: 16).dropFirst() }.joined()
        let stream = Bytes.opensslWithDot.setting(field, to: digits).octets
        guard case .invalid = read(stream) else {
            Issue.record("accepted")
            return
        }
    }
}

extension TLSClientHello {
    /// A hello with nothing but a name.
    fileprivate init(message name: String?) {
        let message = TLSHelloBytes.message(name.map { [TLSHelloBytes.names($0)] } ?? [])
        do {
            self = try TLSClientHello(message: message)
        } catch {
            preconditionFailure("\(error)")
        }
    }
}
