import Testing

@testable import RDNetKit

@Suite("HTTP response reader")
struct HTTPResponseReaderTests {
    private static let stream = """
        HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
        HTTP/1.1 204\r\n\r\n\
        HTTP/1.0 404 Not Found\n\nall the rest
        """

    @Test("finds responses in pieces of any size", arguments: [1, 2, 3, 7, 64, 4096])
    func pieces(size: Int) throws {
        var reader = HTTPResponseReader()
        var found: [String] = []
        let tell = { (message: HTTPMessage<HTTPResponseHead>) in
            found.append("\(message.head.status) " + String(decoding: message.body, as: UTF8.self))
        }
        let octets = Array(Self.stream.utf8)
        for start in stride(from: 0, to: octets.count, by: size) {
            octets[start..<min(start + size, octets.count)].withUnsafeBytes { reader.append($0) }
            while case .message(let message) = try reader.next() { tell(message) }
        }
        // The last response has no length: it ends with the stream.
        if let message = reader.finishAtEnd() { tell(message) }
        #expect(
            found == ["100 ", "200 hello", "500 abc0123456789", "204 ", "404 all the rest"]
        )
        #expect(reader.finishAtEnd() == nil)
    }

    @Test(
        "a stream's end does not complete a response that has a length",
        arguments: [
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        ]
    )
    func incomplete(text: String) throws {
        var reader = HTTPResponseReader()
        Array(text.utf8).withUnsafeBytes { reader.append($0) }
        #expect(try reader.next() == .needsMore)
        #expect(reader.finishAtEnd() == nil)
    }

    @Test(
        "what is no response, or too much of one, is refused",
        arguments: [
            "\u{1}\u{2}\u{3}\n\n", "SSH-2.0-OpenSSH_9\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: 17_000),
        ]
    )
    func refused(text: String) {
        var reader = HTTPResponseReader()
        Array(text.utf8).withUnsafeBytes { reader.append($0) }
        #expect(throws: HTTPError.self) { try reader.next() }
    }

    @Test func `a body without a length is bounded`() throws {
        var reader = HTTPResponseReader()
        Array("HTTP/1.1 200 OK\r\n\r\n".utf8).withUnsafeBytes { reader.append($0) }
        let piece = [UInt8](repeating: 0, count: 1 << 20)
        for _ in 0..<16 {
            piece.withUnsafeBytes { reader.append($0) }
            #expect(try reader.next() == .needsMore)
        }
        piece.withUnsafeBytes { reader.append($0) }
        #expect(throws: HTTPError.bodyTooLarge) { try reader.next() }
    }
}
