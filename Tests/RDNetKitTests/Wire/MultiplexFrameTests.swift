import Testing

@testable import RDNetKit

/// Bytes written as hexadecimal digits with spaces.
func bytes(_ text: String) -> [UInt8] {
    let digits = text.filter { $0 != " " }
    return stride(from: 0, to: digits.count, by: 2).map { offset in
        let start = digits.index(digits.startIndex, offsetBy: offset)
        return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16) ?? 0
    }
}

private let destination = ForwarderDestination.tcp(Endpoint(address: .loopbackIPv4, port: 8080))

private let goldenFrames: [(String, MultiplexFrame)] = [
    (
        "1d00 01 05000000 02 02 1000 00000000000000000000000000000001 901f",
        .open(5, .udp(Endpoint(address: .loopbackIPv6, port: 8080)))
    ),
    ("1300 01 05000000 02 03 0800 2f746d702f666f6f", .open(5, .unix("/tmp/foo"))),
    ("0700 02 06000000", .close(6)),
    ("0700 03 07000000", .shutdown(7)),
    ("0b00 04 08000000 80000000", .data(8, count: 128)),
    ("0f00 05 09000000 38a2870000000000", .window(9, 8_888_888)),
    ("1100 01 04000000 02 01 0400 7f000001 901f", .open(4, destination)),
]

/// The files in VPNKit's go/test_inputs, and the header of 2016.
@Suite("VPNKit's multiplexer frames")
struct MultiplexFrameTests {
    @Test("are written and read as VPNKit writes them", arguments: goldenFrames)
    func golden(text: String, frame: MultiplexFrame) throws {
        let octets = bytes(text)
        #expect(frame.octets == octets)
        let read = try #require(try MultiplexFrame.read(octets.span.bytes))
        #expect(read.frame == frame)
        #expect(read.length == octets.count)
        for length in 0..<octets.count {
            let cut = Array(octets.prefix(length))
            #expect(try MultiplexFrame.read(cut.span.bytes)?.frame == nil)
        }
    }

    @Test func `an IPv4 address may be written as an IPv6 address, as Go writes it`() throws {
        let octets = bytes(
            "1d00 01 00000000 02 01 1000 00000000000000000000ffff7f000001 901f"
        )
        #expect(try MultiplexFrame.read(octets.span.bytes)?.frame == .open(0, destination))
    }

    @Test func `a wrong length of the frame changes nothing`() throws {
        let octets = bytes("ffff 05 09000000 38a2870000000000")
        let read = try #require(try MultiplexFrame.read(octets.span.bytes))
        #expect(read.frame == .window(9, 8_888_888))
        #expect(read.length == 15)
    }

    @Test(
        "a frame that nobody understands is an error",
        arguments: [
            ("1100 01 04000000 01 01 0400 7f000001 901f", MultiplexError.dedicatedChannel),
            ("0700 06 04000000", .unknownCommand(6)), ("0700 00 04000000", .unknownCommand(0)),
            ("1100 01 04000000 02 04 0400 7f000001 901f", .unknownDestination),
            ("1100 01 04000000 02 01 0500 7f000001 901f", .unknownDestination),
        ]
    )
    func refused(text: String, error: MultiplexError) {
        #expect(throws: error) { try MultiplexFrame.read(bytes(text).span.bytes) }
    }

    @Test(
        "the header of 2016 is read and written",
        arguments: [
            ("01 0400 ac110002 5000", "172.17.0.2:80"),
            ("01 1000 00000000000000000000000000000001 5000", "[::1]:80"),
        ]
    )
    func header(text: String, endpoint: String) throws {
        let octets = bytes(text)
        let read = try #require(try ForwarderDestination.read(octets.span.bytes))
        #expect(read.destination.description == "tcp://\(endpoint)")
        #expect(read.length == octets.count)
        #expect(read.destination.octets == octets)
    }

    @Test(
        "the first three bytes tell the three protocols apart",
        arguments: [
            ("01 0400", ForwarderGreeting.destination), ("02 0400", .destination),
            ("01 1000", .destination), ("1100 01", .multiplexer), ("0104 01", .multiplexer),
            ("687474", .handshake),
        ]
    )
    func greeting(text: String, greeting: ForwarderGreeting) {
        #expect(ForwarderGreeting(bytes(text).span.bytes) == greeting)
    }

    @Test(
        "other first bytes are none of them",
        arguments: ["47 45 54", "01 0500", "03 0400", "01"]
    )
    func noGreeting(text: String) {
        #expect(ForwarderGreeting(bytes(text).span.bytes) == nil)
    }
}
