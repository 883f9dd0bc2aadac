import Testing

@testable import RDNetKit

@Suite("capture filter")
struct CaptureFilterTests {
    /// Ethernet to 5a:94:ef:e4:0c:ee, IPv4 from 192.168.127.2 to 1.2.3.4, UDP 1000 to 53.
    private static let datagram: [UInt8] =
        [0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee, 2, 0, 0, 0, 0, 1, 0x08, 0x00]
        // Version and length, service, total length, identification, flags, TTL, UDP, checksum.
        + [0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0xf7, 0x20, 192, 168, 127, 2, 1, 2, 3, 4]
        // Ports, length, no checksum.
        + [0x03, 0xe8, 0, 53, 0, 8, 0, 0]
    /// A broadcast ARP request of 192.168.127.2 for 192.168.127.1.
    private static let request: [UInt8] =
        [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x08, 0x06]
        + [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 168, 127, 2]
        + [0, 0, 0, 0, 0, 0, 192, 168, 127, 1]

    @Test(
        "conditions joined by and must all be met",
        arguments: [
            ("", true, true), ("host 192.168.127.2", true, true), ("1.2.3.4", true, false),
            ("host 192.168.127.1", false, true), ("udp and port 53", true, false),
            ("udp && port 1000", true, false), ("port 54", false, false), ("tcp", false, false),
            ("arp", false, true), ("IP", true, false), ("ip6", false, false),
            ("ether host 02:00:00:00:00:01", true, true), ("5a:94:ef:e4:0c:ee", true, false),
            ("icmp", false, false),
        ]
    )
    func matches(text: String, datagram: Bool, request: Bool) throws {
        let filter = try CaptureFilter(text)
        #expect(filter.matches(Self.datagram.span.bytes) == datagram)
        #expect(filter.matches(Self.request.span.bytes) == request)
        #expect(filter.isEmpty == text.isEmpty)
    }

    @Test(
        "a filter that is not valid says which word",
        arguments: [
            ("tcp or udp", "\"or\" is not valid"), ("port x", "\"x\" is not valid"),
            ("tcp and", "the filter is incomplete"), ("host", "the filter is incomplete"),
            ("ether 1", "\"ether\" is not valid"), ("port 65536", "\"65536\" is not valid"),
        ]
    )
    func refuses(text: String, sentence: String) {
        #expect {
            try CaptureFilter(text)
        } throws: {
            "\($0)".hasPrefix(sentence + "; expected conditions joined by and: host ADDRESS")
        }
    }

    @Test("a frame that is cut anywhere is no reason to crash", arguments: 0..<42)
    func cut(length: Int) throws {
        let frame = Array(Self.datagram[..<length])
        #expect(try CaptureFilter("").matches(frame.span.bytes))
        #expect(try !CaptureFilter("udp and port 53").matches(frame.span.bytes))
    }
}
