/// Runs one parser on libFuzzer's bytes; the first byte selects the parser, which gets the rest.
///
/// The file is compiled together with Wire/ (see fuzz.sh). An error is as good a result as a value;
/// only traps, hangs and unbounded memory growth are findings.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ octets: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    // Sound: libFuzzer's memory is valid for this call, and nothing keeps the pointer.
    let input = Array(UnsafeBufferPointer(start: octets, count: count))
    let (choice, rest) = (Int(input[0]), Array(input[1...]))
    do {
        try Parser.parse(rest, choice: choice % 20)
    } catch {
        return 0
    }
    return 0
}

/// The parsers of external data.
private enum Parser {
    static func parse(_ octets: [UInt8], choice: Int) throws {
        let bytes = octets.span.bytes
        switch choice {
        case 0: _ = try EthernetHeader(reading: bytes)
        case 1: _ = try ARPPacket(reading: bytes)
        case 2: _ = try IPv4Header(reading: bytes)
        case 3: _ = try ICMPMessage(reading: bytes)
        case 4: _ = try UDPHeader(reading: bytes)
        case 5: _ = try UDPPacket(reading: bytes)
        case 6: _ = try TCPHeader(reading: bytes)
        case 7: _ = try VirtioNetHeader(reading: bytes)
        case 8: _ = try OffloadMessage(reading: bytes)
        case 9: _ = try DHCPMessage(reading: bytes)
        case 10: _ = try DNSHeader(reading: bytes)
        case 11: try dnsName(octets)
        case 12: _ = try DNSQuery(reading: octets)
        case 13: _ = try JSONParser.parse(octets)
        case 14: _ = NetlinkMessage.messages(reading: bytes)
        case 15: try pattern(octets)
        case 16: http(octets, of: HTTPRequestHead.self)
        case 17: _ = try DNSResourceRecord.records(in: bytes)
        case 18: try multicast(octets)
        default: http(octets, of: HTTPResponseHead.self)
        }
    }

    private static func dnsName(_ octets: [UInt8]) throws {
        var offset = 0
        _ = try DNSName(reading: octets.span.bytes, at: &offset)
    }

    /// Parses a response to the question that it repeats.
    private static func multicast(_ octets: [UInt8]) throws {
        var offset = DNSHeader.length
        let question = try DNSQuestion(reading: octets.span.bytes, at: &offset)
        _ = MulticastDNS.response(reading: octets, to: question.name, question.type) { _ in true }
        _ = (question.name.reverseAddress, question.name.isShortReverseName)
    }

    /// Tries the expression before the first zero byte on the bytes after it.
    private static func pattern(_ octets: [UInt8]) throws {
        let parts = octets.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
        let pattern = try NamePattern(String(decoding: parts[0], as: UTF8.self))
        _ = pattern.matches(parts.count > 1 ? parts[1].prefix(255) : [])
    }

    /// Checks that the same bytes in two pieces give the same messages as in one.
    private static func http<Head: HTTPMessageHead>(_ octets: [UInt8], of kind: Head.Type) {
        guard let cut = octets.first.map({ Int($0) % octets.count }) else { return }
        let whole = messages([octets[...]], of: kind)
        guard messages([octets[..<cut], octets[cut...]], of: kind) == whole else {
            preconditionFailure("a cut at \(cut) changes the messages")
        }
    }

    private static func messages<Head: HTTPMessageHead>(
        _ pieces: [ArraySlice<UInt8>],
        of kind: Head.Type
    ) -> [HTTPMessage<Head>] {
        var (reader, found) = (HTTPMessageReader<Head>(), [HTTPMessage<Head>]())
        for piece in pieces {
            piece.withUnsafeBytes { reader.append($0) }
            do {
                while true {
                    let progress = try reader.next()
                    if case .message(let message) = progress { found.append(message) }
                    if progress == .needsMore { break }
                }
            } catch {
                return found
            }
        }
        if let last = reader.finishAtEnd() { found.append(last) }
        return found
    }
}
